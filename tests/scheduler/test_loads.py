"""Which cold versions come in next, as tables: no threads, no engine."""

from __future__ import annotations

from collections.abc import Sequence

from adapter_runtime import TaskVersion
from serving.scheduler.loads import Loads
from tests.scheduler.rig import version


def start(loads: Loads, tasks: str, warm: str = "") -> str:
    """The tasks that start to load when these wait, the longest waiter first."""
    waiting = [*(version(task) for task in tasks), *loads.wanted.values()]
    return names(loads.start(waiting, lambda each: each.task in warm))


def names(versions: Sequence[TaskVersion]) -> str:
    """Their tasks."""
    return "".join(each.task for each in versions)


def come(loads: Loads, tasks: str) -> None:
    """These loads end well, and rows wait for them."""
    for task in tasks:
        loads.came(version(task), is_awaited=True)


def test_several_start_side_by_side_and_each_once() -> None:
    """As many as there are threads, without those that are on the device."""
    loads = Loads(2)
    assert start(loads, "abcd", warm="b") == "ac"
    assert start(loads, "abcd", warm="b") == ""
    come(loads, "a")
    assert start(loads, "abcd", warm="b") == "d"


def test_held_versions_stay_until_let_go() -> None:
    """A batch may take them meanwhile."""
    loads = Loads(2)
    start(loads, "ab")
    come(loads, "ab")
    assert loads.is_warm(version("a"), lambda _: False)
    assert names(loads.let_go(lambda key: key[0] == "a")) == "a"
    assert not loads.is_warm(version("a"), lambda _: False)
    assert names(loads.let_go(lambda key: True)) == "b"


def test_version_on_its_way_is_not_warm() -> None:
    """Its load is not over, wherever its weights are already."""
    loads = Loads(1)
    start(loads, "a")
    assert not loads.is_warm(version("a"), lambda _: True)


def test_after_a_refusal_nothing_starts_before_a_batch_has_ended() -> None:
    """Then the longest waiter, alone; the others follow one by one."""
    loads = Loads(4)
    assert start(loads, "ab") == "ab"
    come(loads, "a")
    loads.refused(version("b"))
    assert start(loads, "bcd") == ""
    loads.make_room()
    assert start(loads, "bcd") == "b"
    assert start(loads, "bcd") == ""
    come(loads, "b")
    assert start(loads, "cd") == "c"
    come(loads, "c")
    assert start(loads, "d") == "d"


def test_narrow_one_does_not_take_the_room_of_a_wide_one() -> None:
    """However often the wide one is refused, whoever came later waits."""
    loads = Loads(4)
    assert start(loads, "w") == "w"
    for _ in range(10):
        loads.refused(version("w"))
        loads.make_room()
        assert start(loads, "wnm") == "w"


def test_loads_go_side_by_side_again_when_nobody_waits() -> None:
    """The memory of a refusal ends with the crowd."""
    loads = Loads(4)
    start(loads, "a")
    loads.refused(version("a"))
    loads.make_room()
    start(loads, "a")
    come(loads, "a")
    assert start(loads, "a") == ""
    assert start(loads, "bcd") == "bcd"


def test_batches_wait_for_a_load_only_after_several_refusals_and_not_for_long() -> None:
    """Their own pins may be what leaves it no room, batch after batch."""
    loads = Loads(4)
    start(loads, "w")
    pressing = []
    for _ in range(4):
        loads.refused(version("w"))
        loads.make_room()
        start(loads, "w")
        pressing.append(loads.is_pressing)
    assert pressing == [False, False, True, True]
    loads.ease(is_idle=False)
    assert not loads.is_pressing


def test_idleness_is_a_reason_to_try_again() -> None:
    """Without batches no batch ends."""
    loads = Loads(4)
    start(loads, "a")
    loads.refused(version("a"))
    loads.ease(is_idle=False)
    assert start(loads, "a") == ""
    loads.ease(is_idle=True)
    assert start(loads, "a") == "a"


def test_version_whose_rows_came_back_must_be_held() -> None:
    """It is on the device and is loaded all the same."""
    loads = Loads(4)
    loads.send_back(version("a"))
    assert not loads.is_warm(version("a"), lambda _: True)
    assert start(loads, "a", warm="a") == "a"
    come(loads, "a")
    loads.let_go(lambda key: True)
    assert loads.is_warm(version("a"), lambda _: True)


def test_wanted_version_comes_after_those_that_rows_wait_for() -> None:
    """And it is forgotten where there is no room."""
    loads = Loads(1)
    loads.want(version("w"))
    assert start(loads, "a") == "a"
    come(loads, "a")
    assert start(loads, "a") == "w"
    loads.refused(version("w"))
    loads.make_room()
    assert start(loads, "") == ""


def test_failed_load_may_be_tried_again() -> None:
    """The engine knows when that makes sense."""
    loads = Loads(1)
    start(loads, "a")
    loads.failed(version("a"))
    assert start(loads, "a") == "a"
