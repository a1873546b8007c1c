"""What a version's answers say about it, while its task changes."""

from __future__ import annotations

import threading
from queue import SimpleQueue

import pytest

from adapter_runtime import VersionFailed
from serving.catalog.plans import RollbackRule
from serving.lifecycle.judging.judge import Judge
from serving.lifecycle.live.tasks import Tasks
from tests.lifecycle.living import Life, numbered, task_plan, version_plan
from tests.serving.fake_engine import FakeEngine


class Vanishing(Tasks):
    """Somebody deletes each task as soon as it was looked for, if nobody holds the lock."""

    def __contains__(self, name: str) -> bool:
        is_there = super().__contains__(name)
        deleting = threading.Thread(target=self.apply_one, args=(name, None))
        deleting.start()
        deleting.join(0.1)
        return is_there


def test_an_answer_is_not_lost_because_its_task_is_deleted_meanwhile() -> None:
    """It was made already: what comes after it finds the task, or does without."""
    life = Life(FakeEngine(), numbered("1", "2"))
    version = life.admit(life.version("v2"))
    judge = Judge(life.tasks, life.admitter.outcomes, lambda *_: None)
    life.tasks.__class__ = Vanishing
    judge.answered(version, 0.01)
    assert version.traffic.num_requests == 1


@pytest.mark.parametrize(("weights", "requests"), (((90, 10), 200), ((None, None), 20)))
def test_requests_that_others_answer_for_a_quarantined_version_count_as_its_failures(
    weights: tuple[float | None, float | None], requests: int
) -> None:
    """Else a version that fails at once would never have failed often enough to be rolled back."""
    plans = [version_plan(str(number), weight=each) for number, each in enumerate(weights)]
    rule = RollbackRule(error_rate=0.5, min_requests=20)
    life = Life(FakeEngine(), task_plan(*plans, rollback=rule))
    for version in life.task().versions:
        life.admit(version)
    tripped: SimpleQueue[tuple[str, str, str]] = SimpleQueue()
    judge = Judge(life.tasks, life.admitter.outcomes, lambda *told: tripped.put(told))
    bad = life.version("v1")
    life.admitter.outcomes.is_guilty(bad, VersionFailed("It overflows."))
    for number in range(requests):
        assert tripped.empty() or number > requests // 2
        version, is_ready = life.tasks.enter("topic")
        assert (version.id, is_ready) == ("v0", True)
        judge.answered(version, 0.01)
        life.tasks.leave(version)
    task, version_id, reason = tripped.get(timeout=10)
    assert (task, version_id) == ("topic", "v1")
    assert "error rate 1" in reason
    assert bad.traffic.num_requests == 0


def test_a_superseded_version_in_quarantine_misses_nothing() -> None:
    """Its requests are the newer one's anyway."""
    rule = RollbackRule(error_rate=0.5, min_requests=2)
    life = Life(FakeEngine(), task_plan(version_plan("0"), version_plan("1"), rollback=rule))
    for version in life.task().versions:
        life.admit(version)
    old = life.version("v0")
    life.admitter.outcomes.is_guilty(old, VersionFailed("It overflows."))
    for _ in range(5):
        assert life.task().choose(life.clock.now_s).id == "v1"
    assert old.traffic.error_rate() is None
    assert [one.id for one in life.task().in_traffic()] == ["v1"]
