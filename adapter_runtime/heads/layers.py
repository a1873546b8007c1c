"""The layer stack that classification, tagging, answering and choice heads share.

`Linear, activation` for all layers but the last, which is a bare `Linear`. Canonical tensor names
are `0.weight`, `0.bias`, `1.weight` … by layer.

Source: `adapters` 1.3.0 `PredictionHead.build`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from torch import Tensor, nn

from adapter_runtime.heads.base import HeadStates


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
    """

    layers: int = 1
    activation: str | None = None
    use_pooler: bool = False
    bias: bool = True
    function: str | None = None
    reads_types: bool = True


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
        if settings.bias or not is_last:
            shapes[f"{layer}.bias"] = (out,)
    return shapes


def apply_layers(settings: StackSettings, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """The stack's logits. Shape: `[n, width]` to `[n, labels]`."""
    for layer in range(settings.layers):
        x = nn.functional.linear(x, weights[f"{layer}.weight"], weights.get(f"{layer}.bias"))
        if layer < settings.layers - 1 and settings.activation:
            x = activation(settings.activation)(x)
    return x


def row_logits(
    settings: StackSettings, weights: Mapping[str, Tensor], states: HeadStates
) -> np.ndarray:
    """Logits from each row's first token, or from the pooler. Shape: `[rows, labels]`."""
    vectors = states.pool() if settings.use_pooler else states.first_tokens()
    return as_array(apply_layers(settings, weights, vectors))


def token_logits(
    settings: StackSettings, weights: Mapping[str, Tensor], states: HeadStates
) -> Sequence[np.ndarray]:
    """Logits of every token of each row. Shape: `[length, labels]` each."""
    logits = as_array(apply_layers(settings, weights, states.tokens()))
    return np.split(logits, np.cumsum(states.lengths)[:-1])


def as_array(values: Tensor) -> np.ndarray:
    """A tensor as float32 in host memory; waits for the device."""
    return values.detach().float().cpu().numpy()


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
