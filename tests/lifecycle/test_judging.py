"""What a version's answers say about it, while its task changes."""

from __future__ import annotations

import threading

from serving.lifecycle.judging.judge import Judge
from serving.lifecycle.live.tasks import Tasks
from tests.lifecycle.living import Life, numbered
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
