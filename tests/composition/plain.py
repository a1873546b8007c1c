"""What `adapters` 1.3.0 computes at the end of a sublayer, written straight from its code.

`compose_stack`, `compose_average`, `compose_fuse`, `pre_block` and `mean` of
`methods/adapter_layer_base.py` and `methods/bottleneck.py`; `Adapter`, `ParallelAdapter` and
`BertFusion` of `methods/modeling.py`. Nothing here is shared with the runtime. Where the library
fails, so does this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from adapter_runtime.types import Average, Composition, Fuse, Leaf, Stack

Flags = Mapping[str, Any]
Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class State:
    """`BottleneckState`: one row. Shape: `[tokens, width]` each."""

    hidden_states: Tensor
    input_tensor: Tensor
    adapter_residual: Tensor
    bottleneck_up: Tensor | None = None
    last: str | None = None


@dataclass(frozen=True)
class Block:
    """`Adapter`, or `ParallelAdapter` where `is_parallel`."""

    flags: Flags
    weights: Weights

    def pre_forward(
        self, hidden_states: Tensor, input_tensor: Tensor, norm: nn.Module, fusion: Flags | None
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Hidden states, query and residual."""
        flags = self.flags
        if flags["is_parallel"]:
            return input_tensor, input_tensor if fusion else None, input_tensor
        query, residual = None, hidden_states
        if fusion and fusion["query_before_ln"]:
            query = hidden_states
        if flags["original_ln_before"]:
            hidden_states = hidden_states + input_tensor
            if flags["residual_before_ln"] == "post_add":
                residual = hidden_states
            hidden_states = norm(hidden_states)
        if not flags["residual_before_ln"]:
            residual = hidden_states
        if fusion and not fusion["query_before_ln"]:
            query = hidden_states
        return hidden_states, query, residual

    def forward(self, x: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        """Output and up-projection."""
        flags, weights = self.flags, self.weights
        z = x
        if flags["ln_before"]:
            z = self._inner_norm("before", z)
        down = functional.linear(z, weights["down_weight"], weights["down_bias"]).relu()
        up = functional.linear(down, weights["up_weight"], weights["up_bias"]) * flags["scaling"]
        output = up
        if flags["use_gating"]:
            gate = functional.linear(x, weights["gate_weight"], weights["gate_bias"]).sigmoid()
            output = output * gate.mean(0)
        if flags["adapter_residual_before_ln"] and not flags["is_parallel"]:
            output = output + residual
        if flags["ln_after"]:
            output = self._inner_norm("after", output)
        if not flags["adapter_residual_before_ln"] and not flags["is_parallel"]:
            output = output + residual
        return output, up

    def _inner_norm(self, place: str, x: Tensor) -> Tensor:
        weight, bias = (self.weights[f"norm_{place}_{kind}"] for kind in ("weight", "bias"))
        return functional.layer_norm(x, x.shape[-1:], weight, bias, 1e-5)

    def post_forward(
        self, hidden_states: Tensor, start: Tensor, input_tensor: Tensor, norm: nn.Module
    ) -> Tensor:
        """The sublayer's output."""
        if self.flags["is_parallel"]:
            hidden_states = hidden_states + start
        if self.flags["original_ln_after"]:
            return norm(hidden_states + input_tensor)  # type: ignore[no-any-return]
        return hidden_states


@dataclass(frozen=True)
class FusionBlock:
    """`BertFusion`, in the state of its first forward."""

    flags: Flags
    weights: Weights

    def forward(self, query: Tensor, value: Tensor, residual: Tensor) -> Tensor:
        """Shapes: `[tokens, width]`, values `[tokens, adapters, width]`."""
        flags, weights = self.flags, self.weights
        if flags["residual_before"]:
            # In place in the library, where the key is the same tensor.
            value = value + residual[:, None]
        key = value
        if flags["query"]:
            query = functional.linear(query, weights["query_weight"], weights["query_bias"])
        if flags["key"]:
            key = functional.linear(key, weights["key_weight"], weights["key_bias"])
        if flags["value"] and flags["value_before_softmax"]:
            value = functional.linear(value, weights["value_weight"])
        scores = torch.einsum("td,tad->ta", query, key)
        shares = (scores / (50.0 if flags["temperature"] else 1.0)).softmax(-1)
        context = torch.einsum("ta,tad->td", shares, value)
        if flags["value"] and not flags["value_before_softmax"]:
            context = functional.linear(context, weights["value_weight"])
        return context if flags["residual_before"] else context + residual


class PlainLayer:
    """`BottleneckLayer` for one row.

    Args:
        blocks: the adapters that have a module here, by name.
        fusions: the fusion layers, by name.
        norm: the sublayer's LayerNorm.
    """

    def __init__(
        self, blocks: Mapping[str, Block], fusions: Mapping[str, FusionBlock], norm: nn.Module
    ) -> None:
        self.blocks = blocks
        self.fusions = fusions
        self.norm = norm

    def forward(self, setup: Composition, hidden_states: Tensor, residual: Tensor) -> Tensor:
        """The sublayer's output; the plain sum and norm where no adapter has a module."""
        if not any(name in self.blocks for name in names(setup)):
            return self.norm(hidden_states + residual)  # type: ignore[no-any-return]
        setup = setup if not isinstance(setup, Leaf) else Stack(setup)
        state = self._compose(setup, State(hidden_states, residual, residual))
        assert state.last is not None
        last = self.blocks[state.last]
        return last.post_forward(state.hidden_states, hidden_states, residual, self.norm)

    def _compose(self, setup: Composition, state: State) -> State:
        if isinstance(setup, Stack):
            return self._stack(setup, state)
        return (
            self._average(setup, state) if isinstance(setup, Average) else self._fuse(setup, state)
        )

    def _stack(self, setup: Stack, state: State) -> State:
        for child in setup.children:
            if not isinstance(child, Leaf):
                state = self._compose(child, state)
            elif child.ref in self.blocks:
                state = self._single(child.ref, self._pre_block(child.ref, state))
        return state

    def _pre_block(self, name: str, state: State) -> State:
        block = self.blocks[name]
        hidden, _, residual = block.pre_forward(
            state.hidden_states, state.input_tensor, self.norm, None
        )
        return replace(state, hidden_states=hidden, adapter_residual=residual)

    def _single(self, name: str, state: State) -> State:
        output, up = self.blocks[name].forward(state.hidden_states, state.adapter_residual)
        return replace(state, hidden_states=output, bottleneck_up=up, last=name)

    def _children(self, setup: Average | Fuse, state: State) -> list[State]:
        found = []
        for child in setup.children:
            if not isinstance(child, Leaf):
                found.append(self._compose(child, state))
            elif child.ref in self.blocks:
                found.append(self._single(child.ref, state))
        return found

    def _average(self, setup: Average, state: State) -> State:
        state = self._pre_block(names(setup)[0], state)
        found = self._children(setup, state)
        weights = torch.tensor(setup.weights)[:, None, None]
        stacked = torch.stack([each.hidden_states for each in found]) * weights
        divisor = len(setup.children) if setup.mode == "adapters" else 1
        hidden = stacked.sum(0) / divisor
        return replace(
            state, hidden_states=hidden, bottleneck_up=found[0].bottleneck_up, last=found[-1].last
        )

    def _fuse(self, setup: Fuse, state: State) -> State:
        fusion = self.fusions[setup.fusion.ref]
        last = names(setup)[-1]
        hidden, query, residual = self.blocks[last].pre_forward(
            state.hidden_states, state.input_tensor, self.norm, fusion.flags
        )
        state = replace(state, hidden_states=hidden, adapter_residual=residual)
        ups = [each.bottleneck_up for each in self._children(setup, state)]
        assert query is not None
        values = torch.stack([_present(up) for up in ups], 1)
        hidden = fusion.forward(query, values, residual)
        return replace(state, hidden_states=hidden, last=last)


def _present(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor


def names(setup: Composition) -> list[str]:
    """The adapters of a set-up, left to right."""
    if isinstance(setup, Leaf):
        return [setup.ref]
    children: Sequence[Composition] = setup.children
    return [name for child in children for name in names(child)]
