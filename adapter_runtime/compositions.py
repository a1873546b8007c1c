"""Compositions: trees of adapters, by Source before loading and by digest after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Leaf:
    """One adapter of a composition: a Source before loading, a digest after."""

    ref: str


@dataclass(frozen=True, slots=True)
class Stack:
    """Adapters applied one after another."""

    children: tuple[Composition, ...]


@dataclass(frozen=True, slots=True)
class Average:
    """Adapters side by side whose outputs are averaged.

    Args:
        children: what is averaged.
        weights: one for each child, as given.
        mode: `adapters` for the number of the `adapters` library, which divides by the count once
            more; `mean` for the plain weighted mean.
    """

    children: tuple[Composition, ...]
    weights: tuple[float, ...]
    mode: str = "adapters"


@dataclass(frozen=True, slots=True)
class Fuse:
    """Adapters side by side whose outputs an AdapterFusion layer mixes, token by token."""

    children: tuple[Composition, ...]
    fusion: Leaf


@dataclass(frozen=True, slots=True)
class Merge:
    """Adapters whose weights become one adapter when they are read; never in a TaskVersion.

    Args:
        children: the adapters.
        weights: one for each child, as given.
        strategy: `linear`, `lora_linear_only_negate_b` or `lora_delta_w_svd`.
        svd_rank: rank of the merged adapter, for the last strategy only.
    """

    children: tuple[Leaf, ...]
    weights: tuple[float, ...]
    strategy: str = "linear"
    svd_rank: int | None = None


Composition = Leaf | Stack | Average | Fuse | Merge


def leaves(tree: Composition | None) -> Iterator[Leaf]:
    """All weights that a composition needs, left to right, a fusion after its children."""
    if isinstance(tree, Leaf):
        yield tree
    elif tree is not None:
        for child in tree.children:
            yield from leaves(child)
        if isinstance(tree, Fuse):
            yield tree.fusion


def first_leaf(tree: Composition | None) -> Leaf | None:
    """The composition's first adapter, where embeddings and virtual tokens come from."""
    return next(leaves(tree), None)


def map_leaves(tree: Composition, change: Callable[[str], str]) -> Composition:
    """The same tree with every leaf's reference changed."""
    if isinstance(tree, Leaf):
        return Leaf(change(tree.ref))
    if isinstance(tree, Merge):
        return replace(tree, children=tuple(Leaf(change(child.ref)) for child in tree.children))
    children = tuple(map_leaves(child, change) for child in tree.children)
    if isinstance(tree, Fuse):
        return Fuse(children, Leaf(change(tree.fusion.ref)))
    return replace(tree, children=children)
