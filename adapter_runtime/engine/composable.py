"""Whether the adapters of a composition can be composed so, and what is worth knowing of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from typing import Any

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.hub.fusions import fused_names
from adapter_runtime.compositions import last_leaf
from adapter_runtime.engine.trees import Chain, Link, Node, nodes_at, units
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.methods.table import METHODS
from adapter_runtime.types import (
    SUBLAYER_SITES,
    Adapter,
    Average,
    Composition,
    Fuse,
    Leaf,
    Note,
    Part,
    PlugPoint,
    leaves,
)

_LORA_CHAIN = "lora"
_FACTORS = "ia3"
_BOTTLENECK = "bottleneck"


def check_composition(
    tree: Composition, adapter_of: Callable[[str], Adapter], facts: BackboneFacts, where: str
) -> list[Note]:
    """Warnings on how adapters are composed.

    Args:
        tree: the composition, without merges.
        adapter_of: the adapter or fusion layer of a leaf's reference.
        facts: the backbone.
        where: the task, for messages.

    Raises:
        RejectedAdapter: they cannot be composed so; every reason is listed.
    """
    placed = [adapter_of(leaf.ref).parts for leaf in leaves(tree)]
    problems = list(dict.fromkeys(_mixed_methods(tree, adapter_of)))
    for fuse in _nodes(tree, Fuse):
        problems += _misfits(fuse, adapter_of)
    if not problems:
        problems = list(_misplaced(tree, placed, facts))
    if problems:
        raise RejectedAdapter(where, problems)
    return [*_average_notes(tree), *_order_notes(tree, adapter_of), *_first_notes(tree, adapter_of)]


def _nodes(tree: Composition, kind: type[Any]) -> Iterator[Any]:
    if isinstance(tree, kind):
        yield tree
    if not isinstance(tree, Leaf):
        for child in tree.children:
            yield from _nodes(child, kind)


def _mixed_methods(tree: Composition, adapter_of: Callable[[str], Adapter]) -> Iterator[Note]:
    """Methods that have no meaning inside an average or a fusion."""
    for node in (*_nodes(tree, Average), *_nodes(tree, Fuse)):
        for adapter in (adapter_of(leaf.ref) for child in node.children for leaf in leaves(child)):
            for method in adapter.methods:
                if not _may_be_in(node, method):
                    name = type(node).__name__
                    remedy = "stack it" if isinstance(node, Fuse) else "stack or merge it"
                    message = (
                        f"{adapter.name} uses {method}, which has no meaning inside {name}, "
                        f"as in the adapters library; {remedy} instead."
                    )
                    yield Note("unsupported_composition", message)


def _may_be_in(node: Average | Fuse, name: str) -> bool:
    method: Any = METHODS[name]
    if method.first_only or name == _BOTTLENECK:
        return True
    return isinstance(node, Average) and getattr(method, "chain", None) == _LORA_CHAIN


def _misfits(fuse: Fuse, adapter_of: Callable[[str], Adapter]) -> Iterator[Note]:
    """Places where the fused adapters act and the fusion does not, and a wrong order."""
    fusion = adapter_of(fuse.fusion.ref)
    if any(part.method != "fusion" for part in fusion.parts):
        message = f"{fusion.name} is an adapter; name the folder of an AdapterFusion layer."
        yield Note("not_a_fusion", message)
        return
    mixed = {part.point for part in fusion.parts}
    for adapter in (adapter_of(leaf.ref) for child in fuse.children for leaf in leaves(child)):
        if any(part.method == "fusion" for part in adapter.parts):
            yield Note("not_an_adapter", f"{adapter.name} is a fusion layer; give it as `fusion:`.")
        alone = sorted({part.point for part in adapter.parts if _is_mixable(part)} - mixed)
        if alone:
            message = (
                f"{adapter.name} acts at {', '.join(map(str, alone))}, where the fusion "
                f"{fusion.name} has no layer; use the fusion that was trained with it."
            )
            yield Note("missing_fusion_layer", message)
    names, trained = _names(fuse, adapter_of), fused_names(fusion)
    if names != trained and sorted(names) == sorted(trained):
        message = f"The fusion was trained for {', '.join(trained)} in this order; list them so."
        yield Note("wrong_order", message)


def _is_mixable(part: Part) -> bool:
    return part.point.site in SUBLAYER_SITES


def _names(fuse: Fuse, adapter_of: Callable[[str], Adapter]) -> tuple[str, ...]:
    return tuple(adapter_of(last_leaf(child).ref).name for child in fuse.children)


def _misplaced(
    tree: Composition, placed: Sequence[Sequence[Part]], facts: BackboneFacts
) -> Iterator[Note]:
    """What cannot be computed at the module points."""
    points = sorted({part.point for parts in placed for part in parts})
    nodes = {
        point: nodes_at(
            point,
            tree,
            [[part for part in parts if part.point == point] for parts in placed],
            METHODS,
        )
        for point in points
        if point.site not in SUBLAYER_SITES
    }
    unfed = [
        f"{point} (width {facts.shapes[point][1]} to {facts.shapes[point][0]})"
        for point, found in nodes.items()
        if not all(_is_fed_well(node, point, facts) for node in found)
    ]
    if unfed:
        message = (
            f"LoRA at {', '.join(unfed)} changes the width, so two of them cannot be stacked "
            "there: the second reads what the first adds; merge them first."
        )
        yield Note("not_stackable", message)
    mixed = [str(point) for point, found in nodes.items() if not all(map(_is_of_one_kind, found))]
    if mixed:
        message = f"An average of LoRA and (IA)³ at {', '.join(mixed)} has no meaning; stack them."
        yield Note("unsupported_composition", message)


def _is_fed_well(node: Node[Part], point: PlugPoint, facts: BackboneFacts) -> bool:
    """Low-rank products of a Stack feed each other, so their point must keep its width."""
    shape = facts.shapes.get(point, ())
    if isinstance(node, Link) or len(shape) < 2 or shape[0] == shape[1]:
        return True
    if not isinstance(node, Chain):
        return all(_is_fed_well(child, point, facts) for child in node.children)
    later = [unit for child in node.children[1:] for unit in units(child)]
    return not any(map(_reads_the_chain, later)) and all(
        _is_fed_well(child, point, facts) for child in node.children
    )


def _reads_the_chain(part: Part) -> bool:
    return getattr(METHODS[part.method], "chain", None) == _LORA_CHAIN and part.method != _FACTORS


def _is_of_one_kind(node: Node[Part]) -> bool:
    """Whether no average mixes factors for all tokens with products for each, as upstream."""
    return _reach(node, None) is not _Reach.MIXED


class _Reach(Enum):
    """What a chain has made so far: one row of factors, or a state for each token."""

    ROW = auto()
    TOKENS = auto()
    MIXED = auto()


def _reach(node: Node[Part], came: _Reach | None) -> _Reach | None:
    if isinstance(node, Link):
        if came is not None:
            return came
        return _Reach.ROW if node.unit.method == _FACTORS else _Reach.TOKENS
    if isinstance(node, Chain):
        for child in node.children:
            came = _reach(child, came)
        return came
    found = {_reach(child, came) for child in node.children}
    return found.pop() if len(found) == 1 else _Reach.MIXED


def _average_notes(tree: Composition) -> Iterator[Note]:
    for average in _nodes(tree, Average):
        if average.mode != "adapters":
            continue
        count = len(average.children)
        factors = ", ".join(f"{weight / count:.4g}" for weight in average.weights)
        message = (
            f"Average gives the number of the adapters library, which divides by the {count} "
            f"children once more (factors {factors}); mode: mean gives the plain weighted mean."
        )
        yield Note("average_divided_twice", message)


def _order_notes(tree: Composition, adapter_of: Callable[[str], Adapter]) -> Iterator[Note]:
    for fuse in _nodes(tree, Fuse):
        names, trained = _names(fuse, adapter_of), fused_names(adapter_of(fuse.fusion.ref))
        if names != trained:
            message = (
                f"The fusion was trained for {', '.join(trained)} and mixes {', '.join(names)}: "
                "make sure that these are the same, in this order."
            )
            yield Note("other_fused_names", message)


def _first_notes(tree: Composition, adapter_of: Callable[[str], Adapter]) -> Iterator[Note]:
    for leaf in dict.fromkeys(list(leaves(tree))[1:]):
        adapter = adapter_of(leaf.ref)
        silent = [name for name in adapter.methods if METHODS[name].first_only]
        if silent:
            message = (
                f"{', '.join(silent)} of {adapter.name} stays silent: it acts only where its "
                "adapter comes first."
            )
            yield Note("acts_only_first", message)
