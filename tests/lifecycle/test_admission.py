"""Versions are read, checked and admitted once each, beside the traffic."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from adapter_runtime import (
    CapacityError,
    Example,
    RejectedAdapter,
    RowFailed,
    SourceError,
    SourceRefused,
    WorkItem,
)
from serving.lifecycle.live.states import State
from tests.lifecycle.living import Life, numbered, settled, task_plan, until, version_plan
from tests.serving.fake_engine import FakeEngine


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


def test_first_use_admits_the_newest(engine: FakeEngine) -> None:
    """It is read, checked and ready; the older one is not even looked at."""
    life = Life(engine, numbered("1", "2"))
    assert life.admit_first().id == "v2"
    assert engine.calls == [("read", "topic"), ("check", "topic")]
    assert life.version("v1").state is State.PENDING
    assert life.heard == [("topic", "accepted")]
    assert life.version("v2").load_s is not None


def test_a_refused_newest_lets_the_older_one_serve(engine: FakeEngine) -> None:
    """By its files, its check, or the room that it needs."""
    for folder in ("broken", "wrong", "wide"):
        life = Life(engine, task_plan(version_plan("1"), version_plan("2", folder=folder)))
        assert life.admit_first().id == "v1"
        refused = life.version("v2")
        assert (refused.state, len(refused.reasons)) == (State.REJECTED, 1)
        assert refused.prepared is None
        assert refused.retry_at_s is None
        assert life.words() == ["rejected", "ready"]
    assert engine.uses["digest-topic-2"] == 0


def test_many_at_once_are_one_admission(engine: FakeEngine) -> None:
    """All of them get the same future."""
    engine.reading = threading.Event()
    life = Life(engine, numbered("1"))
    version = life.task().versions[0]
    futures = {id(life.admitter.start(version)) for _ in range(100)}
    engine.reading.set()
    settled(life.admitter.start(version))
    assert len(futures) == 1
    assert life.calls("read") == ["topic"]


def test_several_versions_are_admitted_side_by_side(engine: FakeEngine) -> None:
    """A slow one holds up one thread only."""
    engine.reading = threading.Event()
    life = Life(engine, *(numbered("1", name=name) for name in ("a", "b", "c")), threads=3)
    futures = [life.admitter.start(task.versions[0]) for task in life.tasks]
    until(lambda: len(life.calls("read")) == 3)
    engine.reading.set()
    for future in futures:
        settled(future)
    assert all(task.versions[0].is_ready for task in life.tasks)


def test_who_is_waited_for_goes_before_who_is_not(engine: FakeEngine) -> None:
    """Also when the wish came first and the client later."""
    engine.reading = threading.Event()
    names = ("a", "b", "c", "d")
    life = Life(engine, *(numbered("1", name=name) for name in names), threads=1)
    a, b, c, d = (task.versions[0] for task in life.tasks)
    futures = [life.admitter.start(a)]
    until(lambda: life.calls("read") == ["a"])
    futures += [life.admitter.start(b), life.admitter.start(c)]
    futures += [life.admitter.start(d, is_awaited=True), life.admitter.start(c, is_awaited=True)]
    engine.reading.set()
    for future in futures:
        settled(future)
    assert life.calls("read") == ["a", "d", "c", "b"]


def test_a_known_version_is_not_checked_again(engine: FakeEngine) -> None:
    """In this process or the next; other examples are another check."""
    first = Life(engine, numbered("1"))
    first.admit_first()
    again = Life(engine, numbered("1"), verdicts=first.verdicts)
    again.admit_first()
    assert again.calls("check") == ["topic"]
    assert again.heard == [("topic", "known")]
    plan = version_plan("1")
    asked = replace(plan, spec=replace(plan.spec, examples=(Example("a", {"label": "b"}),)))
    Life(engine, task_plan(asked), verdicts=first.verdicts).admit_first()
    assert again.calls("check") == ["topic", "topic"]


def test_a_source_that_is_not_allowed_is_refused_for_good(engine: FakeEngine) -> None:
    """The operator's word does not change while the server runs."""
    engine.fails_to_read = SourceRefused("Only ./adapters is allowed.")
    life = Life(engine, numbered("1"))
    version = life.admit(life.version("v1"))
    assert version.reasons[0].code == "source_not_allowed"
    assert version.retry_at_s is None


def test_a_verdict_against_a_version_is_remembered(engine: FakeEngine) -> None:
    """The second try ends without a forward, with the same reasons."""
    life = Life(engine, numbered("1", folder="wrong"))
    version = life.admit(life.version("v1"))
    reasons = version.reasons
    life.admit(version, again=True)
    assert version.reasons == reasons
    assert version.state is State.REJECTED
    assert life.calls("check") == ["topic"]
    assert engine.uses["digest-topic-1"] == 0


def test_a_refusal_is_final_unless_somebody_insists(engine: FakeEngine) -> None:
    """Requests, edits and the caretaker do not; an operator may."""
    life = Life(engine, numbered("1", folder="broken"))
    version = life.admit(life.version("v1"))
    life.clock.now_s += 1e6
    life.admit(version)
    life.tend()
    assert len(life.calls("read")) == 1
    life.admit(version, again=True)
    assert len(life.calls("read")) == 2


@pytest.mark.parametrize(
    ("error", "code"),
    (
        (SourceError("The hub is away."), "source_error"),
        (CapacityError("Too full."), "no_capacity"),
        (MemoryError(), "out_of_memory"),
        (ZeroDivisionError("surprise"), "internal_error"),
    ),
)
def test_what_is_not_its_fault_is_tried_again_ever_later(
    engine: FakeEngine, error: Exception, code: str
) -> None:
    """After 5, 10, 20 … seconds, 5 minutes at most; until then requests hear why at once."""
    engine.fails_to_read = error
    life = Life(engine, numbered("1"))
    version = life.admit(life.version("v1"))
    waits_s = []
    for _ in range(8):
        assert (version.state, version.reasons[0].code) == (State.REJECTED, code)
        assert version.retry_at_s is not None
        waits_s.append(version.retry_at_s - life.clock.now_s)
        with pytest.raises(RejectedAdapter):
            life.tasks.enter("topic")
        life.clock.now_s = version.retry_at_s
        life.admit(version)
    assert waits_s == [5, 10, 20, 40, 80, 160, 300, 300]
    engine.fails_to_read = None
    life.clock.now_s += 300
    life.tend()
    assert version.is_ready
    assert version.last_error is None
    assert not version.reasons


def test_a_check_that_could_not_run_is_no_verdict(engine: FakeEngine) -> None:
    """Rows that find no room say nothing of the version; what was read is given back."""
    life = Life(engine, numbered("1"))
    life.admitter.run = lambda items, _: [CapacityError("All places are held.") for _ in items]
    version = life.admit(life.version("v1"))
    assert version.reasons[0].code == "no_capacity"
    assert version.retry_at_s is not None
    assert not life.verdicts
    assert engine.uses["digest-topic-1"] == 0


def test_checks_run_at_low_priority_within_their_time(engine: FakeEngine) -> None:
    """Their rows go where the service says."""
    ran: list[tuple[int, float]] = []
    life = Life(engine, numbered("1"))

    def run_low(items: object, deadline_s: float) -> list[dict[str, int]]:
        ran.append((len(items), deadline_s))  # type: ignore[arg-type]
        return [{"count": 2}]

    life.admitter.run = run_low  # type: ignore[assignment]
    assert life.admit_first().is_ready
    assert ran == [(1, 120.0)]


def test_files_that_are_not_those_of_the_entry_are_refused(engine: FakeEngine) -> None:
    """The entry names a digest; the beginning of one will do."""
    for digest, is_ready in (("digest-topic", True), ("0123456789abcdef", False)):
        life = Life(engine, task_plan(version_plan("1", digest=digest)))
        version = life.admit(life.version("v1"))
        assert version.is_ready is is_ready
        assert [note.code for note in version.reasons] == [] if is_ready else ["source_changed"]


def test_a_version_that_leaves_while_it_is_read_is_dropped(engine: FakeEngine) -> None:
    """It never becomes ready, and what was read is given back."""
    engine.reading = threading.Event()
    life = Life(engine, numbered("1"))
    version = life.task().versions[0]
    future = life.admitter.start(version)
    until(lambda: life.calls("read") == ["topic"])
    life.tasks.apply_one("topic", None)
    engine.reading.set()
    settled(future)
    life.tend()
    assert version.state is State.RETIRED
    assert life.heard == [("topic", "dropped")]
    assert engine.uses["digest-topic-1"] == 0


def test_what_leaves_while_it_waits_for_its_turn_is_given_back_once(engine: FakeEngine) -> None:
    """Twice would take the same content from the version that has it now."""
    life = Life(engine, numbered("1"), numbered("1", name="slow"), threads=1)
    version = life.version("v1")
    life.admitter.adopt(version, engine.read(version.plan.spec))
    engine.reading = threading.Event()
    slow = life.admitter.start(life.version("v1", "slow"))
    until(lambda: life.calls("read") == ["topic", "slow"])
    waiting = life.admitter.start(version)
    life.tasks.apply_one("topic", None)
    life.caretaker.tend()
    engine.reading.set()
    settled(slow)
    settled(waiting)
    assert engine.uses["digest-topic-1"] == 0
    assert ("topic", "dropped") in life.heard


def test_what_was_read_before_is_adopted(engine: FakeEngine) -> None:
    """It is checked and not read again; what comes too late is given back."""
    life = Life(engine, numbered("1"))
    version = life.version("v1")
    life.admitter.adopt(version, engine.read(version.plan.spec))
    life.admitter.adopt(version, engine.read(version.plan.spec))
    life.admit(version)
    assert version.is_ready
    assert len(life.calls("read")) == 2
    assert engine.uses["digest-topic-1"] == 1


def test_the_estimate_is_what_was_measured(engine: FakeEngine) -> None:
    """Its own last time, else that of Sources of its kind."""
    life = Life(engine, numbered("1"), numbered("1", name="other"))
    first = life.admit_first()
    first.load_s = 7.0
    assert life.admitter.estimate_s(first) == 7.0
    life.admitter._estimates.observe(first.plan.spec, 3.0)
    assert life.admitter.estimate_s(life.version("v1", "other")) <= 3.0


def test_the_end_tells_who_waits(engine: FakeEngine) -> None:
    """Nothing hangs on an admission that will never come."""
    engine.reading = threading.Event()
    life = Life(engine, numbered("1"), numbered("1", name="other"), threads=1)
    futures = [life.admitter.start(task.versions[0]) for task in life.tasks]
    assert not life.admitter.stop(0.01)
    for future in futures:
        settled(future)
    settled(life.admitter.start(life.version("v1")))
    engine.reading.set()


def test_a_check_that_the_end_cuts_short_is_no_verdict(engine: FakeEngine) -> None:
    """Its rows fail because the server stops, which nobody has to read about."""
    life = Life(engine, numbered("1"))

    def run_low(items: Sequence[WorkItem], _: float) -> list[Exception]:
        life.admitter.close()
        return [RowFailed("The server stopped.") for _ in items]

    life.admitter.run = run_low
    version = life.admit(life.version("v1"))
    assert (version.state, life.heard) == (State.PENDING, [("topic", "dropped")])
    assert not life.verdicts
    assert engine.uses["digest-topic-1"] == 0
