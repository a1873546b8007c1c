"""How any number of rows becomes batches."""

from __future__ import annotations

from dataclasses import dataclass

from adapter_runtime.facade.portions import portions
from adapter_runtime.types import Leaf, Row, Stack, WorkItem


@dataclass(frozen=True)
class _Version:
    composition: object


def _item(tokens, *names):
    leaves = tuple(map(Leaf, names))
    tree = Stack(leaves) if len(leaves) > 1 else leaves[0] if leaves else None
    return WorkItem(_Version(tree), Row((5,) * tokens))


def test_batches_hold_as_many_tokens_and_adapters_as_they_may():
    """Each adapter is wanted in as few batches as can be, whatever the order of the rows."""
    items = [_item(3, "ab"[number % 2]) for number in range(6)]
    assert [*portions(items, 2, 9)] == [[0, 2, 4], [1, 3, 5]]
    assert [*portions(items, 1, 100)] == [[0, 2, 4], [1, 3, 5]]
    assert [*portions(items, 2, 100)] == [[0, 2, 4, 1, 3, 5]]


def test_what_is_larger_than_a_batch_runs_alone():
    """Whether it can is for the engine to say."""
    items = [_item(2), _item(50), _item(2, "a", "b", "c"), _item(2, "d")]
    assert [*portions(items, 2, 10)] == [[0], [1], [2], [3]]


def test_nothing_is_no_batch():
    """Also of an engine without room."""
    assert [*portions([], 0, 0)] == []
