"""Prefix tuning in AdapterHub files: configuration keys, tensor names and shapes.

A file holds one pool of prefixes at the model's level and, under every attention module, aliases
of it. The pool's vectors come through a small network, or lie there as they are (`flat`).

Source: `PrefixTuningPool` and `PrefixTuningLayer` of the `adapters` library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.methods.configuration import (
    BadConfig,
    HubFile,
    activation_name,
    boolean,
    positive_integer,
)
from adapter_runtime.methods.prefix import PrefixSettings, PrefixTuning
from adapter_runtime.methods.stacks import activation
from adapter_runtime.types import Note, Part, PlugPoint, Site

_SITES = (Site.KEYS_VALUES, Site.CROSS_KEYS_VALUES)
_HEADS = ("num_attention_heads", "n_heads", "n_head", "num_heads", "encoder_attention_heads")
_OPTIONAL = ("encoder_prefix", "cross_prefix")
"""Locations that a configuration may leave out."""


@dataclass(frozen=True, slots=True)
class KeySizes:
    """The keys and values of a backbone's attention modules."""

    num_heads: int
    head_width: int

    @property
    def width(self) -> int:
        """Of one token's keys."""
        return self.num_heads * self.head_width


def key_sizes(facts: BackboneFacts) -> KeySizes:
    """Key heads and their width."""
    config = facts.config
    num_heads = next(int(config[key]) for key in _HEADS if config.get(key))
    return KeySizes(
        int(config.get("num_key_value_heads") or num_heads),
        int(config.get("d_kv") or config.get("head_dim") or facts.hidden_size // num_heads),
    )


def is_in_encoder(point: PlugPoint, facts: BackboneFacts) -> bool:
    """Whether a point lies in the encoder of a model that has a decoder too."""
    has_both = bool(facts.config.get("is_encoder_decoder"))
    return has_both and facts.layer_paths[point.layer].startswith("encoder.")


def location(point: PlugPoint, facts: BackboneFacts) -> str:
    """What the library calls the prefixes of an attention module."""
    if point.site is Site.CROSS_KEYS_VALUES:
        return "cross_prefix"
    if is_in_encoder(point, facts):
        return "encoder_prefix"
    return "self" if facts.model_type == "distilbert" else "self_prefix"


def read_prefix(config: Mapping[str, Any], file: HubFile) -> list[Part]:
    """The Parts of one prefix tuning configuration; problems go to the file's ledger.

    Raises:
        BadConfig: a configuration value cannot be used.
    """
    check_places(file.facts)
    if file.facts.is_hooked:
        message = f"The adapters library has no prefix tuning for {file.facts.model_type} models."
        raise BadConfig(message, "unsupported_point")
    length = positive_integer(config.get("prefix_length", 30), "prefix_length")
    places: dict[str, list[PlugPoint]] = {}
    for point in file.points(config, _SITES):
        if point in file.facts.attention_paths:
            where = location(point, file.facts)
            if where not in _OPTIONAL or boolean(config, where, True):
                places.setdefault(where, []).append(point)
    parts = []
    for where, points in places.items():
        pool = _read_pool(config, file, where, length, len(points))
        for point, states in zip(points, pool, strict=False):
            parts.append(_read_part(point, states, config, file))
    if any(_is_counted(part.point, file.facts) for part in parts):
        message = (
            "The library's causal masks count its prefix as a row's first tokens, so that a token "
            "sees a part of the prefix only, and rows as long as a window see none; so do we."
        )
        file.notes.append(Note("prefix_counted", message))
    return sorted(parts, key=lambda part: part.point.layer)


def check_places(facts: BackboneFacts) -> None:
    """Refuse backbones whose attention takes no prefix.

    Raises:
        BadConfig: this one's does not.
    """
    if not facts.attention_paths:
        message = (
            f"The attention of {facts.model_type} backbones takes no prefixes here; train another "
            "kind of adapter, such as LoRA."
        )
        raise BadConfig(message, "unsupported_point")


def _check_library(facts: BackboneFacts) -> None:
    if facts.is_hooked:
        message = (
            f"The adapters library has no prefix tuning for {facts.model_type} backbones; train "
            "another kind of adapter, such as LoRA."
        )
        raise BadConfig(message, "unsupported_point")


def _read_pool(
    config: Mapping[str, Any], file: HubFile, where: str, length: int, num_layers: int
) -> Sequence[tuple[Tensor, Tensor]]:
    """Keys and values of each layer; none where tensors are amiss.

    Shape: `[heads, length, head width]` each.
    """
    sizes = key_sizes(file.facts)
    path = f"prefix_tuning.prefix_tunings.{file.name}.{where}"
    _alias_pool(file, where)
    total = num_layers * 2 * sizes.width
    if boolean(config, "flat"):
        vectors = file.ledger.take(f"{path}.control_trans", (length * total,))
    else:
        vectors = _project(config, file, path, length, total)
    return split_layers(vectors, num_layers, sizes, length) if file.ledger.is_sound else []


def split_layers(
    vectors: Tensor, num_layers: int, sizes: KeySizes, length: int
) -> list[tuple[Tensor, Tensor]]:
    """Vectors that lie token by token, then layer by layer, as keys and values of each layer.

    Shape: `[heads, length, head width]` each.
    """
    shaped = vectors.reshape(length, num_layers * 2, sizes.num_heads, sizes.head_width)
    layers = shaped.permute(1, 2, 0, 3)
    # Copies, so that no Part keeps the whole pool in memory.
    return [
        (layers[2 * layer].clone(), layers[2 * layer + 1].clone()) for layer in range(num_layers)
    ]


def _project(
    config: Mapping[str, Any], file: HubFile, path: str, length: int, total: int
) -> Tensor:
    """What the pool's network makes of its vectors. Shape: `[length, total]`."""
    width = file.facts.hidden_size
    narrow = positive_integer(config.get("bottleneck_size", 512), "bottleneck_size")
    between = activation(activation_name(config.get("non_linearity", "tanh")))
    take = file.ledger.take
    x = take(f"{path}.wte.weight", (length, width))
    linears = [
        (
            take(f"{path}.control_trans.{number}.weight", (width_out, width_in)),
            take(f"{path}.control_trans.{number}.bias", (width_out,)),
        )
        for number, width_in, width_out in ((0, width, narrow), (2, narrow, total))
    ]
    if not file.ledger.is_sound:
        return x
    return functional.linear(between(functional.linear(x, *linears[0])), *linears[1])


def _alias_pool(file: HubFile, where: str) -> None:
    """The pool's copies under the attention modules."""
    roots = tuple(
        f"{path}.prefix_tuning.pool.prefix_tunings.{file.name}."
        for path in file.facts.attention_paths.values()
    )
    file.ledger.alias(name for name in file.ledger.names() if name.startswith(roots))


def _read_part(
    point: PlugPoint, states: tuple[Tensor, Tensor], config: Mapping[str, Any], file: HubFile
) -> Part:
    tensors = dict(zip(("keys", "values"), states, strict=True))
    if boolean(config, "use_gating"):
        num_gates = 1 if boolean(config, "shared_gating", True) else 2
        path = _gate_path(point, file.name, file.facts)
        shape = (num_gates, file.facts.hidden_size)
        tensors["gate_weight"] = file.ledger.take(f"{path}.weight", shape)
        tensors["gate_bias"] = file.ledger.take(f"{path}.bias", (num_gates,))
    # The library does not tell its causal models' masks that prefixes are no tokens.
    settings = PrefixSettings(is_counted=_is_counted(point, file.facts))
    return Part(PrefixTuning.name, point, settings, tensors)


def _gate_path(point: PlugPoint, name: str, facts: BackboneFacts) -> str:
    return f"{facts.attention_paths[point]}.prefix_tuning.prefix_gates.{name}"


def _is_counted(point: PlugPoint, facts: BackboneFacts) -> bool:
    """Whether the library leaves a causal mask to SDPA, which counts prefixes as tokens."""
    if facts.summary == "last":
        return True
    # T5 writes its masks out; of BART and its kin, the decoder's own attention is causal.
    is_decoder = facts.summary == "eos" and not is_in_encoder(point, facts)
    return is_decoder and point.site is Site.KEYS_VALUES and "t5" not in facts.model_type


def write_prefix(parts: Sequence[Part], name: str, facts: BackboneFacts) -> dict[str, Tensor]:
    """The tensors of all prefixes of an adapter, flat, with the aliases that the library expects.

    Args:
        parts: the adapter's prefix Parts, in the order of their points.
        name: the adapter's name.
        facts: the backbone.
    """
    written: dict[str, Tensor] = {}
    layers: dict[str, list[Tensor]] = {}
    for part in parts:
        states = layers.setdefault(location(part.point, facts), [])
        states += (part.tensors["keys"], part.tensors["values"])
        for kind in ("weight", "bias"):
            if (gate := part.tensors.get(f"gate_{kind}")) is not None:
                written[f"{_gate_path(part.point, name, facts)}.{kind}"] = gate
    for where, states in layers.items():
        pool = torch.stack(states).permute(2, 0, 1, 3).flatten()
        below = f"prefix_tuning.prefix_tunings.{name}.{where}.control_trans"
        written[below] = pool
        for path in facts.attention_paths.values():
            written[f"{path}.prefix_tuning.pool.{below.removeprefix('prefix_tuning.')}"] = pool
    return written
