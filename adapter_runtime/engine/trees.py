"""Compositions at one plug point: trees of only what acts there, and how they are evaluated.

Both paths share this. A *unit* is what one adapter does at the point: a Part or its place on the
device before binding; bound to tokens afterwards, when it can be asked.

Source: `adapters/methods/adapter_layer_base.py` and `bottleneck.py` of `adapters` 1.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from adapter_runtime.types import (
    ATTENTION_SITES,
    SUBLAYER_SITES,
    Average,
    Composition,
    Fuse,
    Leaf,
    Merge,
    PlugPoint,
    Stack,
)


class Placed(Protocol):
    """A Part, or where it lies on the device."""

    @property
    def method(self) -> str:
        """A key of the method table."""
        ...


Unit = TypeVar("Unit")
Kept = TypeVar("Kept", covariant=True)
Bound = TypeVar("Bound")
SomePlaced = TypeVar("SomePlaced", bound=Placed)


@dataclass(frozen=True, slots=True)
class Link(Generic[Kept]):
    """One adapter's unit."""

    unit: Kept


@dataclass(frozen=True, slots=True)
class Chain(Generic[Kept]):
    """Nodes one after another; without any it hands on what came in."""

    children: tuple[Node[Kept], ...]


@dataclass(frozen=True, slots=True)
class Mean(Generic[Kept]):
    """The sum of the children's results, each times its share."""

    children: tuple[Node[Kept], ...]
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Mix(Generic[Kept]):
    """The children's up-projections mixed by a fusion layer."""

    children: tuple[Node[Kept], ...]
    fusion: Kept


Node = Link[Kept] | Chain[Kept] | Mean[Kept] | Mix[Kept]


def nodes_at(
    point: PlugPoint,
    tree: Composition | None,
    placed: Sequence[Sequence[SomePlaced]],
    methods: Mapping[str, Any],
) -> tuple[Node[SomePlaced], ...]:
    """What a composition does at a point; several nodes apply one after another.

    Args:
        point: the plug point.
        tree: the composition.
        placed: what each leaf has at the point, in the order of `leaves`.
        methods: the method table; its order is that of the nodes.
    """
    names = {unit.method for units in placed for unit in units}
    if tree is None or not names:
        return ()
    if point.site in SUBLAYER_SITES:
        return _whole(prune(tree, iter(placed), is_open=True, enters=True))
    if point.site in ATTENTION_SITES:
        return (Chain(tuple(Link(unit) for units in placed for unit in units)),)
    chains = dict.fromkeys(methods[name].chain for name in methods if name in names)
    nodes: list[Node[SomePlaced]] = []
    for chain in chains:
        own = [[unit for unit in units if methods[unit.method].chain == chain] for units in placed]
        is_first_only = any(methods[unit.method].first_only for units in own for unit in units)
        nodes += _first(own[0]) if is_first_only else _whole(prune(tree, iter(own)))
    return tuple(nodes)


def _whole(node: Node[Unit] | None) -> tuple[Node[Unit], ...]:
    return () if node is None else (node,)


def _first(units: Sequence[Unit]) -> tuple[Node[Unit], ...]:
    return (Chain(tuple(map(Link, units))),) if units else ()


def prune(
    tree: Composition,
    placed: Iterator[Sequence[Unit]],
    *,
    is_open: bool = False,
    enters: bool = False,
) -> Node[Unit] | None:
    """The tree without the leaves that have nothing here; None where none has.

    Args:
        tree: a composition.
        placed: takes the units of each leaf in turn, in the order of `leaves`.
        is_open: there is a state that a stack without units can hand on; beside others it then
            counts with what came in, as in the `adapters` library.
        enters: some unit has to say what the children of an average or a fusion read.
    """
    if isinstance(tree, Leaf):
        links = tuple(map(Link, next(placed)))
        return links[0] if len(links) == 1 else Chain(links) if links else None
    if isinstance(tree, Stack):
        return _prune_stack(tree, placed, is_open, enters)
    assert not isinstance(tree, Merge), "Merges are adapters by now. This is a bug."
    found = [prune(child, placed, is_open=is_open, enters=enters) for child in tree.children]
    fusion = next(placed) if isinstance(tree, Fuse) else ()
    if not any(found) and (enters or not is_open or isinstance(tree, Fuse)):
        return None
    for number, child in enumerate(tree.children):
        if found[number] is None and is_open and isinstance(child, Stack):
            found[number] = Chain(())
    children = tuple(node for node in found if node is not None)
    if isinstance(tree, Fuse):
        return Mix(children, fusion[0])
    is_kept = [node is not None for node in found]
    return Mean(children, _shares(tree, is_kept)) if children else None


def _prune_stack(
    tree: Stack, placed: Iterator[Sequence[Unit]], is_open: bool, enters: bool
) -> Chain[Unit] | None:
    children: list[Node[Unit]] = []
    for child in tree.children:
        node = prune(child, placed, is_open=is_open or bool(children), enters=enters)
        if node is not None:
            children.append(node)
    return Chain(tuple(children)) if children else None


def _shares(tree: Average, is_kept: Sequence[bool]) -> tuple[float, ...]:
    """The factors of the children that are there; the weights of the absent fall to them.

    The library multiplies by the weights and takes the mean over all: it divides once more.
    """
    kept = [weight for weight, keep in zip(tree.weights, is_kept, strict=True) if keep]
    total = sum(tree.weights)
    if len(kept) == 1:
        kept = [total]
    elif len(kept) < len(tree.weights) and sum(kept) != 0:
        kept = [weight * (total / sum(kept)) for weight in kept]
    divisor = len(tree.children) if tree.mode == "adapters" else 1
    return tuple(weight / divisor for weight in kept)


def units(node: Node[Unit]) -> Iterator[Unit]:
    """The units of a node that adapt, left to right; no fusions."""
    if isinstance(node, Link):
        yield node.unit
    else:
        for child in node.children:
            yield from units(child)


def shape(node: Node[Unit], key: Callable[[Unit], int]) -> Any:
    """A hashable value that is equal for nodes which can be worked on together."""
    if isinstance(node, Link):
        return key(node.unit)
    inner = tuple(shape(child, key) for child in node.children)
    if isinstance(node, Mix):
        return "mix", key(node.fusion), inner
    return ("mean", node.shares, inner) if isinstance(node, Mean) else inner


def join(nodes: Sequence[Node[Unit]], bind: Callable[[Sequence[Unit]], Bound]) -> Node[Bound]:
    """One node from nodes of one shape; `bind` makes one unit of those in the same place."""
    first = nodes[0]
    if isinstance(first, Link):
        return Link(bind([node.unit for node in nodes if isinstance(node, Link)]))
    columns = zip(*(node.children for node in nodes if not isinstance(node, Link)), strict=True)
    children = tuple(join(column, bind) for column in columns)
    if isinstance(first, Mix):
        return Mix(children, bind([node.fusion for node in nodes if isinstance(node, Mix)]))
    if isinstance(first, Mean):
        return Mean(children, first.shares)
    return Chain(children)
