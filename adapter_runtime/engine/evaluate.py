"""What a pruned tree computes, by units that are bound to their tokens; shared by both paths.

Source: `compose_stack`, `compose_average` and `compose_fuse` of `adapters` 1.3.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast

from torch import Tensor, nn

from adapter_runtime.engine.trees import Chain, Link, Mean, Node, units
from adapter_runtime.methods.base import Applied, Entry

_EMPTY = "A pruned tree has units. This is a bug."


class ModuleUnit(Protocol):
    """One adapter at a module point, bound to its tokens."""

    def before(self, x: Tensor) -> Tensor:
        """The module's input."""
        ...

    def step(self, x: Tensor, hidden: Tensor | None) -> Tensor:
        """One link of the chain."""
        ...

    def finish(self, y: Tensor, hidden: Tensor, base: nn.Module) -> Tensor:
        """The module's output after the chain."""
        ...

    def alone(self, x: Tensor, y: Tensor, base: nn.Module) -> Tensor:
        """The module's output where it is the whole chain."""
        ...


class SublayerUnit(Protocol):
    """One adapter at a sublayer point, or a fusion layer, bound to its tokens."""

    def enter(self, h: Tensor, residual: Tensor, norm: nn.Module) -> Entry:
        """What the block reads."""
        ...

    def apply(self, entry: Entry) -> Applied:
        """The block."""
        ...

    def finish(self, h: Tensor, residual: Tensor, norm: nn.Module, start: Tensor) -> Tensor:
        """The sublayer's output."""
        ...

    def close(self, h: Tensor, residual: Tensor, norm: nn.Module) -> Tensor:
        """The sublayer's output where it is the whole chain."""
        ...

    def mix(self, entry: Entry, ups: Sequence[Tensor]) -> Tensor:
        """What a fusion layer makes of its children."""
        ...


def before_module(nodes: Sequence[Node[ModuleUnit]], x: Tensor) -> Tensor:
    """The module's input; x itself where nothing scales it."""
    for node in nodes:
        for unit in units(node):
            x = unit.before(x)
    return x


def after_module(
    nodes: Sequence[Node[ModuleUnit]], x: Tensor, y: Tensor, base: nn.Module
) -> Tensor:
    """The module's output; may write into y where the units do."""
    for node in nodes:
        if isinstance(node, Link):
            y = node.unit.alone(x, y, base)
            continue
        hidden, last = _step(node, x, None, None)
        assert hidden is not None, _EMPTY
        assert last is not None, _EMPTY
        y = last.finish(y, hidden, base)
    return y


def _step(
    node: Node[ModuleUnit], x: Tensor, hidden: Tensor | None, last: ModuleUnit | None
) -> tuple[Tensor | None, ModuleUnit | None]:
    """What the chain has made after this node, and which unit made it."""
    if isinstance(node, Link):
        return node.unit.step(x, hidden), node.unit
    if isinstance(node, Chain):
        for child in node.children:
            hidden, last = _step(child, x, hidden, last)
        return hidden, last
    assert isinstance(node, Mean), "Fusions stand at sublayer points. This is a bug."
    results = [_step(child, x, hidden, last) for child in node.children]
    total = _weighted(node, [cast(Tensor, result) for result, _ in results])
    return total, next((unit for _, unit in reversed(results) if unit is not None), None)


def _weighted(node: Mean[object], results: Sequence[Tensor]) -> Tensor:
    total = results[0] * node.shares[0]
    for share, result in zip(node.shares[1:], results[1:], strict=True):
        total = total + result * share
    return total


def sublayer(node: Node[SublayerUnit], h: Tensor, residual: Tensor, norm: nn.Module) -> Tensor:
    """The sublayer's output; may write into h. Shape: `[tokens, width]` each."""
    if isinstance(node, Link):
        return node.unit.close(h, residual, norm)
    end = _Sublayer(residual, norm).run(node, _State(h, None, None))
    assert end.last is not None, _EMPTY
    return end.last.finish(end.h, residual, norm, h)


class _State(NamedTuple):
    """What runs through a tree: the new h, the last up-projection, and who gave them."""

    h: Tensor
    up: Tensor | None
    last: SublayerUnit | None


@dataclass(frozen=True, slots=True)
class _Sublayer:
    residual: Tensor
    norm: nn.Module

    def run(self, node: Node[SublayerUnit], state: _State, entry: Entry | None = None) -> _State:
        """One node; `entry` is what a parent has entered for all its children."""
        if isinstance(node, Link):
            return self._apply(node.unit, self._enter(node.unit, state) if entry is None else entry)
        if isinstance(node, Chain):
            for child in node.children:
                state = self.run(child, state)
            return state
        everybody = list(units(node))
        # The library enters once for all: the first governs an average, the last a fusion.
        governor = everybody[0 if isinstance(node, Mean) else -1]
        entry = self._enter(governor, state)
        inner = state._replace(h=entry.z)
        results = [self.run(child, inner, entry) for child in node.children]
        if isinstance(node, Mean):
            last = next((found.last for found in reversed(results) if found.last), None)
            return _State(_weighted(node, [found.h for found in results]), results[0].up, last)
        ups = [found.up for found in results if found.up is not None]
        return _State(node.fusion.mix(entry, ups), state.up, governor)

    def _enter(self, unit: SublayerUnit, state: _State) -> Entry:
        return unit.enter(state.h, self.residual, self.norm)

    def _apply(self, unit: SublayerUnit, entry: Entry) -> _State:
        applied = unit.apply(entry)
        return _State(applied.h, applied.up, unit)
