"""Who may come in: the room and the time that flows leave each other. A clock that is moved."""

from __future__ import annotations

from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_runtime import TooLong
from serving.admission.flows import Flow
from serving.admission.foresight import Foresight
from serving.admission.pace import Pace
from serving.admission.permits import Permit, Permits
from serving.errors import Overloaded


@dataclass
class Clock:
    """Stands still until it is moved."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


def permits(
    requests: int = 100, rows: int = 1000, token_s: float = 0.0, max_queue_s: float = 0.0
) -> Permits:
    """Room for so much; every row has ten tokens."""
    foresight = Foresight(lambda tokens: tokens * token_s, Clock())
    foresight.encoded(1, 10)
    return Permits(requests, rows, foresight, max_queue_s)


def fill(room: Permits, *flows: Flow, rows: int = 1) -> Counter[Flow]:
    """How many requests of each flow come in when all send without end."""
    taken: Counter[Flow] = Counter()
    for _ in range(1000):
        for flow in flows:
            try:
                room.take(rows, flow)
            except Overloaded:
                continue
            taken[flow] += 1
    room.check_integrity()
    return taken


def test_a_lone_flow_takes_most_of_the_room_and_leaves_some() -> None:
    """A burst is no crime, but others come in after it."""
    room, burst = permits(), Flow("burst")
    assert 70 <= fill(room, burst)[burst] <= 80
    assert fill(room, Flow("light"))[Flow("light")] >= 10


def test_rows_are_shared_like_requests() -> None:
    """Long lists fill the room no better than many requests do."""
    room, burst = permits(), Flow("burst")
    assert 700 <= 50 * fill(room, burst, rows=50)[burst] <= 800
    assert room.take(100, Flow("light")).num_rows == 100


@pytest.mark.parametrize("num_flows", (2, 5, 20))
def test_floods_of_many_tasks_share_evenly_and_leave_room(num_flows: int) -> None:
    """For one more, which has nothing inside."""
    room, flows = permits(), [Flow(f"t{number}") for number in range(num_flows)]
    taken = fill(room, *flows)
    assert max(taken.values()) - min(taken.values()) <= 1
    assert room.take(1, Flow("light")).num_rows == 1


def test_a_caller_with_ten_tasks_holds_no_more_than_one_with_one() -> None:
    """Though all ten flood, and had all the room before: as places come free it gets its half."""
    room, one = permits(), Flow("t0", "one")
    flows, held = [Flow(f"t{number}", "many") for number in range(10)], deque[Permit]()
    rivals = [each for flow in flows for each in (one, flow)]
    for flow in flows * 20 + rivals * 40:
        while room.num_requests > 95:
            room.release(held.popleft())
        with suppress(Overloaded):
            held.append(room.take(1, flow))
    assert sum(permit.flow == one for permit in held) == pytest.approx(len(held) / 2, abs=4)


def test_a_request_that_is_alone_takes_any_room() -> None:
    """However many rows it has, and however many more it turns out to make."""
    room = permits()
    permit = room.take(1)
    for rows in range(2, 1001):
        room.grow(permit, rows)
    assert permit.num_rows == 1000
    with pytest.raises(TooLong):
        room.grow(permit, 1001)


def test_who_would_wait_past_the_deadline_is_told_when_to_come() -> None:
    """The expected wait is the flow's own rows, run by its share of the device."""
    room, flow = permits(token_s=0.01), Flow("busy")
    for _ in range(19):
        room.take(1, flow)
    assert room.take(1, flow, within_s=2.5).num_rows == 1
    with pytest.raises(Overloaded) as told:
        room.take(1, flow, within_s=2.0)
    assert told.value.retry_after_s == 3  # 21 rows of 10 tokens: 2.1 s


def test_those_who_are_sent_away_are_told_to_come_one_after_the_other() -> None:
    """All at once, most would be sent away again; and nobody is told to stay away for long."""
    room, flow, told = permits(token_s=0.1, max_queue_s=2.0), Flow("busy"), list[float]()
    for _ in range(100):
        try:
            room.take(1, flow)
        except Overloaded as error:
            told.append(error.retry_after_s)
    assert told[:5] == [3, 5, 6, 7, 8]
    assert max(told) == 30


def test_longest_wait_can_be_set() -> None:
    """Whatever the deadline."""
    flow = Flow("busy")
    assert fill(permits(token_s=0.01, max_queue_s=2.0), flow) == {flow: 20}


def test_a_light_flow_is_not_shed_for_a_heavy_ones_queue() -> None:
    """Its own few rows run soon."""
    room = permits(token_s=0.1, max_queue_s=20.0)
    fill(room, Flow("heavy"))
    for _ in range(5):
        assert room.take(1, Flow("light"), within_s=15.0).num_rows == 1


def test_all_higher_ranks_run_before() -> None:
    """Who is behind them waits for all that they have inside."""
    room = permits(token_s=0.1)
    for _ in range(10):
        room.take(1, Flow("high", rank=0))
    room.take(1, Flow("normal", rank=1))
    with pytest.raises(Overloaded) as told:
        room.take(1, Flow("normal", rank=1), within_s=11.5)
    assert told.value.retry_after_s == 12
    assert room.take(1, Flow("high", rank=0), within_s=11.5).num_rows == 1


def test_a_flow_with_nothing_inside_is_never_shed() -> None:
    """Or a forecast that is wrong could never be found out."""
    assert permits(token_s=1e6).take(1, within_s=1.0).num_rows == 1


def test_forecasts_learn_from_what_became_of_them() -> None:
    """Requests take thrice as long as the device alone would need."""
    clock = Clock()
    foresight = Foresight(lambda tokens: 0.01 * tokens, clock)
    for _ in range(100):
        expected = foresight.expect(foresight.wait_s(100))
        clock.now_s += 3.0
        foresight.learn(expected)
    assert foresight.wait_s(100) == pytest.approx(3.0, rel=0.05)


FLOWS = st.builds(
    Flow, st.sampled_from("ab"), st.sampled_from("xy"), st.integers(0, 2), st.sampled_from((1.0, 3))
)


@given(st.lists(st.tuples(FLOWS, st.integers(1, 12), st.integers(0, 40), st.integers(0, 9))))
def test_whatever_comes_and_goes_the_counts_hold(
    steps: list[tuple[Flow, int, int, int]],
) -> None:
    """Rows grow, tokens are known and run, permits are given back twice."""
    room, held = permits(10, 60), list[Permit]()
    for flow, rows, tokens, which in steps:
        try:
            held.append(room.take(rows, flow))
            permit = held[which % len(held)]
            room.grow(permit, rows + which)
        except (Overloaded, TooLong):
            continue
        room.weigh(permit, tokens)
        room.ran(permit, tokens // 2)
        if which % 3 == 0:
            room.release(permit)
        room.check_integrity()
    for permit in held:
        room.release(permit)
    room.check_integrity()
    assert room.num_requests == 0


def test_refusals_are_told_at_once_until_there_are_many() -> None:
    """Then one after the other, none more than a second late; so many cost no more than few."""
    pace = Pace()
    pauses = [pace.pause_s(1000.0) for _ in range(500)]
    assert pauses[:100] == [0.0] * 100
    assert pauses[110] == pytest.approx(0.22)
    assert max(pauses) == pauses[-1] == 1.0
    assert pace.pause_s(1010.0) == 0.0


def test_refusals_that_wait_are_bounded() -> None:
    """Beyond that they are told at once."""
    pace = Pace()
    pace.num_waiting = 1000
    assert [pace.pause_s(0.0) for _ in range(500)] == [0.0] * 500
