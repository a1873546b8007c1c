"""The layer stack that classification, tagging, answering and choice heads share.

`Linear, activation` for all layers but the last, which is a bare `Linear`. Canonical tensor names
are `0.weight`, `0.bias`, `1.weight` … by layer.

Source: `adapters` 1.3.0 `PredictionHead.build`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, islice
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from adapter_runtime.backbone.placed import from_host
from adapter_runtime.errors import RowFailed
from adapter_runtime.heads.base import HeadStates
from adapter_runtime.types import Arrays, Row

Summary = Literal["first", "last", "counted", "eos", "mean"]
"""Which state stands for a row: its first token's; its last one's that is no padding token; the
one at the number of its tokens that are no padding tokens; its last end-of-text token's; or the
mean over its tokens."""


@dataclass(frozen=True, slots=True)
class StackSettings:
    """A layer stack without its weights.

    Args:
        layers: linear layers, at least 1.
        activation: between the layers; None puts nothing there. Unused with one layer.
        use_pooler: reads the backbone's pooler instead of the first token's bare state.
        bias: whether the last layer has a bias; the others always have one.
        function: `softmax`, `sigmoid` or `none` on the logits where the request names none;
            None chooses by the head type and the number of labels.
        reads_types: whether rows carry token type ids; question answering heads only.
        summary: which state a head over whole rows reads, where it reads no pooler.
        marker: the token id that `summary` looks at: padding or end of text; None where the
            backbone has no such token.
        scale: factor on the states before the first layer.
        hidden_bias: whether the layers but the last have a bias.
        norm_eps: the epsilon of a LayerNorm behind each activation; None where there is none.
        norm_bias: whether it has a bias.
    """

    layers: int = 1
    activation: str | None = None
    use_pooler: bool = False
    bias: bool = True
    function: str | None = None
    reads_types: bool = True
    summary: Summary = "first"
    marker: int | None = None
    scale: float = 1.0
    hidden_bias: bool = True
    norm_eps: float | None = None
    norm_bias: bool = False


def tensor_shapes(settings: StackSettings, width: int, num_out: int) -> dict[str, tuple[int, ...]]:
    """The canonical tensors of a stack.

    Args:
        settings: the stack.
        width: the backbone's hidden size.
        num_out: columns of the logits.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(settings.layers):
        is_last = layer == settings.layers - 1
        out = num_out if is_last else width
        shapes[f"{layer}.weight"] = (out, width)
        if settings.bias if is_last else settings.hidden_bias:
            shapes[f"{layer}.bias"] = (out,)
        if settings.norm_eps is not None and not is_last:
            shapes[f"{layer}.norm.weight"] = (width,)
            if settings.norm_bias:
                shapes[f"{layer}.norm.bias"] = (width,)
    return shapes


@dataclass(frozen=True, slots=True)
class Stacks:
    """Stacks of one layout, each of a task of its own, that are applied together.

    Args:
        settings: the layout of all.
        weights: each stack's tensors.
        counts: rows that each answers, at least 1; they follow one another.
    """

    settings: StackSettings
    weights: Sequence[Mapping[str, Tensor]]
    counts: Sequence[int]

    def apply(self, x: Tensor, sizes: Sequence[int]) -> list[np.ndarray]:
        """Each stack's logits on its part of the states, of so many `sizes`.

        Shape: `[sum of sizes, width]` to `[size, labels]` each.
        """
        settings = self.settings
        if settings.scale != 1.0:
            x = x * settings.scale
        for layer in range(settings.layers - 1):
            x = _joined(self._layer(layer, x, sizes))
            x = activation(settings.activation)(x) if settings.activation else x
            x = self._norms(f"{layer}.norm", x, sizes)
        return _as_arrays(self._layer(settings.layers - 1, x, sizes))

    def _layer(self, layer: int, x: Tensor, sizes: Sequence[int]) -> list[Tensor]:
        weight, bias = f"{layer}.weight", f"{layer}.bias"
        return [
            nn.functional.linear(part, own[weight], own.get(bias))
            for part, own in zip(_parts(x, sizes), self.weights, strict=True)
        ]

    def _norms(self, name: str, x: Tensor, sizes: Sequence[int]) -> Tensor:
        eps = self.settings.norm_eps
        if eps is None:
            return x
        parts = zip(_parts(x, sizes), self.weights, strict=True)
        return _joined([layer_norm(own, name, eps, part) for part, own in parts])


@runtime_checkable
class JointKind(Protocol):
    """A head kind whose heads of equal settings answer together."""

    def forward_joint(self, stacks: Stacks, states: HeadStates) -> list[Arrays]:
        """What `HeadKind.forward` gives for each row of all stacks, in order."""
        ...


def _parts(x: Tensor, sizes: Sequence[int]) -> Sequence[Tensor]:
    return (x,) if len(sizes) == 1 else x.split_with_sizes(list(sizes))


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _as_arrays(parts: Sequence[Tensor]) -> list[np.ndarray]:
    """Matrices in host memory, by one copy from the device."""
    if len(parts) == 1:
        return [as_array(parts[0])]
    values = as_array(_joined([part.flatten() for part in parts]))
    ends = list(accumulate(part.numel() for part in parts))
    starts = [0, *ends[:-1]]
    return [
        values[start:end].reshape(part.shape)
        for part, start, end in zip(parts, starts, ends, strict=True)
    ]


def layer_norm(weights: Mapping[str, Tensor], name: str, eps: float | None, x: Tensor) -> Tensor:
    """A head's own LayerNorm; the identity without an epsilon. Shape: `[n, width]` to the same."""
    if eps is None:
        return x
    scale, shift = weights[f"{name}.weight"], weights.get(f"{name}.bias")
    return nn.functional.layer_norm(x, (x.shape[-1],), scale, shift, eps)


def row_logits(stacks: Stacks, states: HeadStates) -> list[np.ndarray]:
    """Logits from the state that stands for each row. Shape: `[labels]` each."""
    found = stacks.apply(row_vectors(stacks.settings, states), stacks.counts)
    return [row for logits in found for row in logits]


def row_vectors(settings: StackSettings, states: HeadStates) -> Tensor:
    """The state that stands for each row. Shape: `[rows, width]`.

    Raises:
        RowFailed: a row has no token that the rule looks for.
    """
    if settings.use_pooler:
        return states.pool()
    if settings.summary == "first":
        return states.first_tokens()
    if settings.summary == "mean":
        return torch.stack([row.mean(0) for row in states.rows()])
    places = [_place(settings, row) for row in states.inputs]
    chosen = [start + place for start, place in zip(states.starts, places, strict=True)]
    return states.hidden[from_host(chosen, states.hidden.device)]


def _place(settings: StackSettings, row: Row) -> int:
    """The token of a row, as run, that `last`, `counted` or `eos` names."""
    first, count = row.virtual or (0, 0)
    text = [place for place in range(len(row.input_ids)) if not first <= place < first + count]
    is_marker = [row.input_ids[place] == settings.marker for place in text]
    if settings.summary == "eos":
        if not any(is_marker):
            raise RowFailed("The row holds no end-of-text token, which this head reads; add it.")
        return text[len(text) - 1 - is_marker[::-1].index(True)]
    # PEFT hands rows with a prompt on as vectors, in which Hugging Face sees no padding.
    if settings.marker is None or row.virtual is not None:
        return text[-1]
    if settings.summary == "counted":
        return text[is_marker.count(False) - 1]
    # Of padding alone, Hugging Face takes the first token.
    return text[0 if all(is_marker) else len(text) - 1 - is_marker[::-1].index(False)]


def token_logits(stacks: Stacks, states: HeadStates) -> list[np.ndarray]:
    """Logits of every token of each row. Shape: `[length, labels]` each."""
    rows = states.rows()
    lengths = iter([len(row) for row in rows])
    own = [list(islice(lengths, count)) for count in stacks.counts]
    found = stacks.apply(_joined(rows), list(map(sum, own)))
    return [
        logits[end - length : end]
        for logits, lengths_of in zip(found, own, strict=True)
        for end, length in zip(accumulate(lengths_of), lengths_of, strict=True)
    ]


def as_array(values: Tensor) -> np.ndarray:
    """A tensor as float32 in host memory; waits for the device."""
    return values.detach().float().cpu().numpy()


def softmax(logits: np.ndarray) -> np.ndarray:
    """Logits as probabilities that sum to 1."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: np.ndarray = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


@lru_cache(maxsize=64)
def activation(name: str) -> Callable[[Tensor], Tensor]:
    """An activation by the name that the `adapters` library knows it by.

    Raises:
        KeyError: there is no such activation, or it has weights of its own.
    """
    from transformers.activations import ACT2FN

    name = name.lower()
    if name == "leakyrelu":
        return nn.functional.leaky_relu
    found: nn.Module = ACT2FN[name]
    if any(True for _ in found.parameters()):
        raise KeyError(name)
    return found.eval()
