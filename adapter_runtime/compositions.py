"""Compositions: trees of adapters, by Source or name before loading and by digest after.

They are written as with the `adapters` library, `Stack("a", "b")`, or with one tuple of children.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

MAX_DEPTH = 4
MAX_CHILDREN = 16
MAX_LEAVES = 64

MEAN_MODES = ("adapters", "mean")
REFUSED: Mapping[str, str] = {
    "split": "cuts texts at fixed token positions, which rows of other lengths do not have",
    "multi_task": "picks an adapter for each row by a task id",
    "batch_split": "gives each row an adapter, which every batch does here",
    "parallel": "gives each row to several adapters, which every batch does here",
}
"""Compositions of the `adapters` library that are none here, and what they would do."""
MERGE_STRATEGIES = ("linear", "lora_linear_only_negate_b", "lora_delta_w_svd")


@dataclass(frozen=True, slots=True)
class Leaf:
    """One adapter of a composition: a Source or a name before loading, a digest after."""

    ref: str


@dataclass(frozen=True, slots=True, init=False)
class Stack:
    """Adapters applied one after another."""

    children: tuple[Composition, ...]

    def __init__(self, *children: Any) -> None:
        object.__setattr__(self, "children", _children(children))


@dataclass(frozen=True, slots=True, init=False)
class Average:
    """Adapters side by side whose outputs are averaged.

    Args:
        children: what is averaged.
        weights: one for each child; equal ones by default.
        mode: `adapters` for the number of the `adapters` library, which divides by the count once
            more; `mean` for the plain weighted mean.
        normalize_weights: divide the weights by their sum first.

    Raises:
        ValueError: the weights or the mode cannot be meant.
    """

    children: tuple[Composition, ...]
    weights: tuple[float, ...]
    mode: str

    def __init__(
        self,
        *children: Any,
        weights: Sequence[float] | None = None,
        mode: str = MEAN_MODES[0],
        normalize_weights: bool = True,
    ) -> None:
        if mode not in MEAN_MODES:
            raise ValueError(f"mode must be one of {', '.join(MEAN_MODES)}, not {mode!r:.100}")
        object.__setattr__(self, "children", _children(children))
        object.__setattr__(
            self, "weights", shares(weights, len(self.children), is_normalised=normalize_weights)
        )
        object.__setattr__(self, "mode", mode)


@dataclass(frozen=True, slots=True, init=False)
class Fuse:
    """Adapters side by side whose outputs an AdapterFusion layer mixes, token by token.

    Args:
        children: what is fused.
        fusion: the layer: a Source or a name, by default its children's names with commas.
    """

    children: tuple[Composition, ...]
    fusion: Leaf

    def __init__(self, *children: Any, fusion: str | Leaf | None = None) -> None:
        object.__setattr__(self, "children", _children(children))
        if fusion is None:
            fusion = ",".join(last_leaf(child).ref for child in self.children)
        object.__setattr__(self, "fusion", Leaf(fusion) if isinstance(fusion, str) else fusion)


@dataclass(frozen=True, slots=True, init=False)
class Merge:
    """Adapters whose weights become one adapter when they are read; never in a TaskVersion.

    Args:
        children: the adapters.
        weights: one for each child; equal ones by default.
        strategy: `linear`, `lora_linear_only_negate_b` or `lora_delta_w_svd`.
        svd_rank: rank of the merged adapter, for the last strategy only.
        normalize_weights: divide the weights by their sum first.

    Raises:
        ValueError: the weights, the strategy or the rank cannot be meant.
    """

    children: tuple[Leaf, ...]
    weights: tuple[float, ...]
    strategy: str
    svd_rank: int | None

    def __init__(
        self,
        *children: Any,
        weights: Sequence[float] | None = None,
        strategy: str = MERGE_STRATEGIES[0],
        svd_rank: int | None = None,
        normalize_weights: bool = True,
    ) -> None:
        if strategy not in MERGE_STRATEGIES:
            able = ", ".join(MERGE_STRATEGIES)
            raise ValueError(f"strategy must be one of {able}, not {strategy!r:.100}")
        if (svd_rank is not None) != (strategy == MERGE_STRATEGIES[-1]):
            raise ValueError(f"svd_rank and strategy: {MERGE_STRATEGIES[-1]} need each other")
        if svd_rank is not None and svd_rank < 1:
            raise ValueError("svd_rank must be 1 or more")
        object.__setattr__(self, "children", _children(children))
        object.__setattr__(
            self, "weights", shares(weights, len(self.children), is_normalised=normalize_weights)
        )
        object.__setattr__(self, "strategy", strategy)
        object.__setattr__(self, "svd_rank", svd_rank)


Composition = Leaf | Stack | Average | Fuse | Merge


def _children(given: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(given) == 1 and isinstance(given[0], tuple):
        given = given[0]
    return tuple(Leaf(child) if isinstance(child, str) else child for child in given)


def shares(
    weights: Sequence[float] | None, count: int, *, is_normalised: bool
) -> tuple[float, ...]:
    """The weights of so many children, as `adapters` normalises them.

    Raises:
        ValueError: there are too few or too many, or they add up to 0.
    """
    if weights is None:
        return (1 / count,) * count if count else ()
    if not all(map(math.isfinite, weights)):
        raise ValueError("weights must be finite numbers")
    if len(weights) != count:
        raise ValueError(f"{len(weights)} weights for {count} adapters")
    total = sum(weights)
    if not is_normalised:
        return tuple(map(float, weights))
    if total == 0:
        raise ValueError("weights add up to 0; set normalize_weights to false to use them so")
    return tuple(weight / total for weight in weights)


def leaves(tree: Composition | None) -> Iterator[Leaf]:
    """All weights that a composition needs, left to right, a fusion after its children."""
    return (leaf for leaf, _ in members(tree))


def members(tree: Composition | None) -> Iterator[tuple[Leaf, bool]]:
    """As `leaves`, and whether it is a fusion layer."""
    if isinstance(tree, Leaf):
        yield tree, False
    elif tree is not None:
        for child in tree.children:
            yield from members(child)
        if isinstance(tree, Fuse):
            yield tree.fusion, True


def first_leaf(tree: Composition | None) -> Leaf | None:
    """The composition's first adapter, where embeddings and virtual tokens come from."""
    return next(leaves(tree), None)


def last_leaf(tree: Composition) -> Leaf:
    """The composition's last adapter, whose head answers by default; never a fusion."""
    while not isinstance(tree, Leaf):
        tree = tree.children[-1]
    return tree


def map_leaves(tree: Composition, change: Callable[[str], str]) -> Composition:
    """The same tree with every leaf's reference changed."""
    if isinstance(tree, Leaf):
        return Leaf(change(tree.ref))
    children = tuple(map_leaves(child, change) for child in tree.children)
    if isinstance(tree, Fuse):
        return Fuse(children, fusion=change(tree.fusion.ref))
    return with_children(tree, children)


def with_children(tree: Composition, children: tuple[Composition, ...]) -> Composition:
    """The same node over other children, as many as before."""
    if isinstance(tree, Stack):
        return Stack(children)
    if isinstance(tree, Fuse):
        return Fuse(children, fusion=tree.fusion)
    if isinstance(tree, Average):
        return Average(children, weights=tree.weights, mode=tree.mode, normalize_weights=False)
    assert isinstance(tree, Merge), "A leaf has no children. This is a bug."
    return Merge(
        children,
        weights=tree.weights,
        strategy=tree.strategy,
        svd_rank=tree.svd_rank,
        normalize_weights=False,
    )


_INSIDE: Mapping[type[Any], tuple[type[Any], ...]] = {
    Stack: (Leaf, Merge, Stack, Average, Fuse),
    Average: (Leaf, Merge, Stack),
    Fuse: (Leaf, Merge, Stack),
    Merge: (Leaf,),
}
"""What each node may hold, as in the `adapters` library; a stack in a stack is one stack."""


def nesting_problem(tree: Composition, depth: int = 0, *, is_flat: bool = False) -> str | None:
    """Why a tree is none that can be run; None where it is.

    Args:
        tree: the composition.
        depth: how many nodes it lies in.
        is_flat: it lies in an average or a fusion, where stacks hold adapters only.
    """
    if isinstance(tree, Leaf):
        return None
    if depth == 0 and sum(1 for _ in islice(leaves(tree), MAX_LEAVES + 1)) > MAX_LEAVES:
        return f"a composition holds at most {MAX_LEAVES} adapters"
    name = type(tree).__name__
    if depth >= MAX_DEPTH or not 1 <= len(tree.children) <= MAX_CHILDREN:
        return f"compositions nest at most {MAX_DEPTH} deep with 1 to {MAX_CHILDREN} children each"
    inside = (Leaf, Merge, Stack) if is_flat and isinstance(tree, Stack) else _INSIDE[type(tree)]
    for child in tree.children:
        if not isinstance(child, inside):
            able = ", ".join(kind.__name__ for kind in inside[1:])
            return (
                f"{name} cannot hold {type(child).__name__}, only adapters and {able or 'no more'}"
            )
        below = is_flat or isinstance(tree, Average | Fuse)
        if problem := nesting_problem(child, depth + 1, is_flat=below):
            return problem
    return None
