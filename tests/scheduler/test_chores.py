"""Who reads next: texts in fair shares, long ones beside others, and what is read before all."""

from __future__ import annotations

import threading
from collections import Counter
from functools import partial

import pytest

from serving.scheduler.chores import LONG_CHARS, Chore, Chores, Reading, num_chars
from serving.workers import Workers
from tests.scheduler.rig import eventually


class Said:
    """Chores that say their names."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def reading(
        self, task: str, num_chars: int = 10, caller: str = "", weight: float = 1.0
    ) -> Reading:
        """One that says the task's."""
        return Reading(partial(self.names.append, task), num_chars, task, caller, weight)

    def hear(self, chores: Chores, count: int = 1) -> list[str]:
        """What the next ones say."""
        for _ in range(count):
            assert chores.qsize()
            _do(chores.get())
        return self.names[-count:]


def _do(chore: Chore | None) -> None:
    assert chore is not None
    chore()


@pytest.fixture
def said() -> Said:
    return Said()


def test_a_flood_of_texts_does_not_hold_up_another_task(said: Said) -> None:
    """Each task has its turn; within one the order is that of coming."""
    chores = Chores(2)
    for _ in range(50):
        chores.put_reading(said.reading("flood"))
    chores.put_reading(said.reading("light"))
    assert "light" in said.hear(chores, 2)
    assert said.hear(chores, 49) == ["flood"] * 49
    assert chores.qsize() == 0


def test_shares_are_counted_in_characters_and_by_weight(said: Said) -> None:
    """Long texts win nothing over short ones; a caller of weight 3 reads three times as much."""
    chores, had = Chores(2), Counter[str]()
    for task, length, count in (("long", 100, 40), ("short", 10, 400)):
        for _ in range(count):
            chores.put_reading(said.reading(task, length))
    for name in said.hear(chores, 110):
        had[name] += 100 if name == "long" else 10
    assert had["long"] == pytest.approx(had["short"], rel=0.15)
    weighed = Chores(2)
    for task, weight in (("one", 1.0), ("three", 3.0)):
        for _ in range(100):
            weighed.put_reading(said.reading(task, caller=task, weight=weight))
    assert Counter(said.hear(weighed, 80))["three"] == pytest.approx(60, abs=2)


def test_what_was_read_goes_first(said: Said) -> None:
    """Answers are decoded before further texts are read."""
    chores = Chores(2)
    chores.put_reading(said.reading("text"))
    chores.put(partial(said.names.append, "answer"))
    assert said.hear(chores, 2) == ["answer", "text"]


def test_long_texts_leave_a_thread_to_the_others(said: Said) -> None:
    """However many wait; when one has been read the next may."""
    chores = Chores(2)
    for task in ("long", "longer"):
        chores.put_reading(said.reading(task, LONG_CHARS))
    first = chores.get()
    chores.put_reading(said.reading("short"))
    assert said.hear(chores) == ["short"]
    assert chores.qsize() == 1  # nobody takes it yet
    chores.put_reading(said.reading("short"))
    assert said.hear(chores) == ["short"]
    _do(first)
    assert said.hear(chores) == ["longer"]


def test_a_lone_thread_reads_long_texts_too(said: Said) -> None:
    """One after the other."""
    chores = Chores(1)
    for _ in range(3):
        chores.put_reading(said.reading("long", LONG_CHARS))
    assert said.hear(chores, 3) == ["long"] * 3


def test_threads_end_after_all_that_is_queued(said: Said) -> None:
    """Long texts that must wait for each other, and a chore that raises, included."""
    chores = Chores(3)
    gate = threading.Event()
    chores.put_reading(Reading(lambda: gate.wait(10) and None, LONG_CHARS, "gate", "", 1.0))
    chores.put_reading(Reading(lambda: 1 / 0 and None, LONG_CHARS, "raises", "", 1.0))
    for number in range(20):
        chores.put_reading(said.reading(f"{number % 3}", LONG_CHARS))
    workers = Workers(3, "read", chores)
    assert not workers.close(0.05)
    gate.set()
    eventually(lambda: len(said.names) == 20)
    assert workers.close(10)


def test_characters_are_counted_whatever_the_inputs_shape() -> None:
    """And however deep; what is no text counts nothing."""
    deep: object = "end"
    for _ in range(100_000):
        deep = [deep]
    assert num_chars(["ab", {"text": "cde", "more": ["f", None, 3, {"x": "g"}]}, deep]) == 10
