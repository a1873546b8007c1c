"""Which tasks a batch of the question of registered tasks has."""

from __future__ import annotations

from collections import Counter

from benchmarks.questions.registered import drawn


def test_no_task_is_drawn_twice_while_there_are_others() -> None:
    """A batch has as many different tasks as it has rows, or all that there are."""
    assert len(set(drawn(1000, 32, 0))) == 32
    assert set(drawn(5, 32, 0)) == set(range(5))


def test_batches_differ_and_tasks_of_low_number_come_often() -> None:
    """Zipf's law: the first is in nearly every batch, the last ones are in few."""
    seen = Counter(task for seed in range(50) for task in drawn(1000, 32, seed))
    assert drawn(1000, 32, 1) != drawn(1000, 32, 2)
    assert seen[0] > 40
    assert sum(seen[task] for task in range(900, 1000)) < 5 * 50
