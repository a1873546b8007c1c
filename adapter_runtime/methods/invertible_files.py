"""Invertible adapters in AdapterHub files: configuration keys, tensor names and shapes.

Source: `InvertibleAdapterLayer` of the `adapters` library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from adapter_runtime.methods.configuration import (
    BadConfig,
    HubFile,
    activation_name,
    as_number,
)
from adapter_runtime.methods.invertible import Invertible, InvertibleSettings
from adapter_runtime.types import MODEL_LEVEL, Part, PlugPoint, Site

FORWARD = PlugPoint(MODEL_LEVEL, Site.EMBEDDINGS)
INVERSE = PlugPoint(MODEL_LEVEL, Site.VOCABULARY)
_ROOTS = ("invertible_adapters", "encoder.invertible_adapters")
"""Where the library hangs them: encoder-decoders have them in the encoder."""
_NETS = {"f": "F", "g": "G"}
_FIRST_NETS = ("F", "s1")
"""The first net of a NICE and of a GLOW block."""
_LAYERS = {"down": "0", "up": "2"}


def holds_invertible(file: HubFile) -> bool:
    """Whether the file has tensors of this adapter's invertible block."""
    first = (f"{root}.{file.name}.{net}.0.weight" for root in _ROOTS for net in _FIRST_NETS)
    return any(name in file.ledger for name in first)


def read_invertible(config: Mapping[str, Any], file: HubFile) -> list[Part]:
    """The two Parts of a bottleneck configuration's invertible block, none where it names none.

    One applies the block behind the embeddings, one undoes it before the vocabulary projection.

    Raises:
        BadConfig: a configuration value cannot be used.
    """
    kind = config.get("inv_adapter")
    if not kind:
        return []
    if kind == "glow":
        message = (
            "GLOW blocks mix the rows and tokens of a batch in the library that trained them, so "
            "no row has an answer of its own; train with inv_adapter: nice."
        )
        raise BadConfig(message, "unsupported_method")
    if kind != "nice":
        raise BadConfig(f"inv_adapter must be nice, not {kind!r:.200}.")
    if not file.facts.has_embedding_output:
        message = f"{file.facts.model_type} has no place behind its embeddings for inv_adapter."
        raise BadConfig(message, "unsupported_point")
    settings = InvertibleSettings(activation_name(config.get("non_linearity")))
    tensors = _take(config, file)
    inverse = InvertibleSettings(settings.activation, is_inverse=True)
    return [
        Part(Invertible.name, FORWARD, settings, tensors),
        Part(Invertible.name, INVERSE, inverse, tensors),
    ]


def _take(config: Mapping[str, Any], file: HubFile) -> dict[str, Tensor]:
    factor = as_number(config.get("inv_adapter_reduction_factor"), "inv_adapter_reduction_factor")
    if factor <= 0:
        raise BadConfig(f"inv_adapter_reduction_factor must be greater than 0, not {factor}.")
    width = file.facts.embedding_size
    first, second = width // 2, width - width // 2
    taken: dict[str, Tensor] = {}
    for net, width_in, width_out in (("f", second, first), ("g", first, second)):
        narrow = int(width_in // factor)
        shapes = {
            "down_weight": (narrow, width_in),
            "down_bias": (narrow,),
            "up_weight": (width_out, narrow),
            "up_bias": (width_out,),
        }
        for ours, shape in shapes.items():
            taken[f"{net}_{ours}"] = file.ledger.take(_stored_name(net, ours, file), shape)
    return taken


def _stored_name(net: str, ours: str, file: HubFile) -> str:
    """The tensor's name in the file; the other root's copy of it is an alias."""
    names = [f"{root}.{_name(file.name, net, ours)}" for root in _ROOTS]
    found = next((name for name in names if name in file.ledger), names[0])
    file.ledger.alias(name for name in names if name != found)
    return found


def _name(adapter: str, net: str, ours: str) -> str:
    layer, _, kind = ours.partition("_")
    return f"{adapter}.{_NETS[net]}.{_LAYERS[layer]}.{kind}"


def write_invertible(part: Part, name: str, *, is_in_encoder: bool = False) -> dict[str, Tensor]:
    """A block's tensors under their names in an AdapterHub file; none for its inverse.

    Args:
        part: an invertible Part.
        name: the adapter's name.
        is_in_encoder: the backbone has a decoder too.
    """
    if part.point != FORWARD:
        return {}
    root = _ROOTS[is_in_encoder]
    return {
        f"{root}.{_name(name, *ours.split('_', 1))}": tensor
        for ours, tensor in part.tensors.items()
    }
