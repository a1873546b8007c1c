"""Adapters that have nothing at a point, where the library fails: what we chose instead."""

from __future__ import annotations

from typing import Any

import torch

from adapter_runtime.types import Average, Composition, Fuse, Leaf, Stack
from tests.composition.layer import DYNAMIC, LENGTHS, PFEIFFER, make_bench

TOLERANCE = 1e-6  # fp32
FLAGS = PFEIFFER | {"original_ln_after": False}
BENCH = make_bench({"a": PFEIFFER, "b": FLAGS, "none": None}, {"f": DYNAMIC})


def same(one: Composition, other: Composition) -> bool:
    """Whether two trees give the same, on both paths."""
    found: list[Any] = [
        BENCH.found([tree] * len(LENGTHS), is_fast=is_fast)
        for tree in (one, other)
        for is_fast in (True, False)
    ]
    return all(torch.allclose(each, found[0], atol=TOLERANCE) for each in found)


def test_the_first_that_is_there_governs_an_average() -> None:
    """The library asks the first child for its flags and fails where it has no module."""
    late = Average("none", "a", "b", weights=[2, 1, 1])
    assert same(late, Average("a", "b", "none", weights=[1, 1, 2]))


def test_an_average_of_nobody_is_left_out() -> None:
    """Where no child has a module the rest of the tree goes on as if there were no average."""
    assert same(Stack("a", Average("none", Stack("none"))), Leaf("a"))
    h, residual = BENCH.states()
    found = BENCH.found([Average("none", "none")] * len(LENGTHS), is_fast=True)
    assert torch.allclose(found, BENCH.norm(h + residual), atol=TOLERANCE)


def test_the_last_that_is_there_governs_a_fusion() -> None:
    """The library asks the last child; a child without a module has nothing to mix."""
    assert same(Fuse("a", "b", "none", fusion="f"), Fuse("a", "b", fusion="f"))
    assert same(Fuse(Stack("none"), "a", "b", fusion="f"), Fuse("a", "b", fusion="f"))


def test_a_stack_of_the_absent_counts_with_what_came_in() -> None:
    """As in the library: an empty stack hands on what the average reads."""
    one = Average("b", Stack("none"))
    h, residual = BENCH.states()
    read = BENCH.norm(h + residual)
    expected = (BENCH.plain.blocks["b"].forward(read, h)[0] + read) / 4
    found = BENCH.found([one] * len(LENGTHS), is_fast=True)
    assert torch.allclose(found, expected, atol=TOLERANCE)
