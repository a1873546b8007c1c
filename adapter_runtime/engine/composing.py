"""From a composition of Sources to one of digests, and what must hold for it to be run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapter_runtime.compositions import nesting_problem, with_children
from adapter_runtime.engine.composable import check_composition
from adapter_runtime.engine.reading import Reading
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.types import (
    Adapter,
    Average,
    Composition,
    Fuse,
    Leaf,
    Merge,
    Note,
)


@dataclass(frozen=True, slots=True)
class Composed:
    """A composition that was read.

    Args:
        tree: by digest; None without adapters.
        adapters: its leaves, in order; a fusion after its children.
        notes: what is worth knowing of the adapters and of how they are composed.
    """

    tree: Composition | None
    adapters: tuple[Adapter, ...]
    notes: tuple[Note, ...]


def read_composition(
    tree: Composition | None,
    options: Mapping[str, Any],
    reading: Reading,
    where: str,
) -> Composed:
    """Read and check all adapters of a composition. Blocks.

    Args:
        tree: by Source.
        options: the task's.
        reading: reads and keeps the adapters.
        where: the task, for messages.

    Raises:
        SourceError: files cannot be read.
        RejectedAdapter: an adapter failed a check, or they do not compose.
    """
    if tree is None:
        return Composed(None, (), ())
    if problem := nesting_problem(tree):
        raise RejectedAdapter(where, [Note("unsupported_composition", f"Here {problem}.")])
    adapters: list[Adapter] = []

    def read(node: Composition) -> Composition:
        if isinstance(node, Leaf | Merge):
            adapters.append(
                reading.read_adapter(node.ref, options)
                if isinstance(node, Leaf)
                else reading.read_merge(node, options)
            )
            return Leaf(adapters[-1].digest)
        children = tuple(read(child) for child in node.children)
        if not isinstance(node, Fuse):
            return with_children(node, children)
        adapters.append(reading.read_fusion(node.fusion.ref, options))
        return Fuse(children, fusion=adapters[-1].digest)

    by_digest = read(tree)
    by_name = {adapter.digest: adapter for adapter in adapters}
    notes = check_composition(by_digest, by_name.__getitem__, reading.facts, where)
    own = [note for adapter in by_name.values() for note in adapter.notes]
    return Composed(by_digest, tuple(adapters), tuple(dict.fromkeys([*own, *notes])))


def describe(tree: Composition | None) -> Any:
    """A composition as the doctor reports it."""
    if tree is None or isinstance(tree, Leaf):
        return tree and tree.ref
    name = type(tree).__name__.lower()
    found: dict[str, Any] = {name: [describe(child) for child in tree.children]}
    if isinstance(tree, Average | Merge):
        found["weights"] = list(tree.weights)
    if isinstance(tree, Average):
        found["mode"] = tree.mode
    if isinstance(tree, Merge):
        found |= {"strategy": tree.strategy, "svd_rank": tree.svd_rank}
    if isinstance(tree, Fuse):
        found["fusion"] = tree.fusion.ref
    return found
