"""Configurations as they are written: current, and saying what the adapter's Parts are now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from adapter_runtime.checkpoint.hub.legacy import modernise
from adapter_runtime.checkpoint.hub.named_configs import NAMED_CONFIGS, expand_config
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.methods.bottleneck import BottleneckSettings
from adapter_runtime.methods.dora import DoraSettings
from adapter_runtime.methods.ia3 import Ia3Settings
from adapter_runtime.methods.lora import LoraSettings
from adapter_runtime.methods.reft import ReftSettings
from adapter_runtime.types import Adapter, Note, Part

Config = dict[str, Any]
Written = tuple[Config, list[Part]]
SUBTRACTS = "subtract_projection"
_MTL_KEYS = ("n_up_projection", "task_specific_matrix_type", "weights_sharpness")


def written_config(adapter: Adapter) -> tuple[Any, Sequence[Part]]:
    """The configuration to write, and the Parts as it means them.

    Raises:
        RejectedAdapter: no configuration says what a Part does.
    """
    stored = expand_config(adapter.config.get("config"))
    is_union = stored.get("architecture") == "union"
    is_current = is_union or "version" in adapter.config
    parts, children = list(adapter.parts), []
    for child in stored["configs"] if is_union else [stored]:
        config, parts = _written(expand_config(child), parts, is_current, adapter)
        children.append(config)
    if all(child.get(SUBTRACTS, True) for child in children):
        return {"architecture": "union", "configs": children} if is_union else children[0], parts
    if is_union:
        raise inexpressible(adapter, "the library knows no DiReFT inside a union")
    return named(children[0]), parts


def named(config: Mapping[str, Any]) -> str:
    """DiReFT as a string: its name says what the library has no key for."""
    default = NAMED_CONFIGS["direft"]
    changes = (
        f"{key}={value!r}"
        for key, value in config.items()
        if key in default and key != SUBTRACTS and default[key] != value
    )
    return f"direft[{','.join(changes)}]"


def _written(
    stored: Mapping[str, Any], parts: list[Part], is_current: bool, adapter: Adapter
) -> Written:
    config = dict(modernise(stored, is_current))
    write = _ARCHITECTURES.get(str(config.get("architecture") or "bottleneck"))
    return write(config, parts, adapter) if write else (config, parts)


def _bottleneck(config: Config, parts: list[Part], _adapter: Adapter) -> Written:
    scaling = config.get("scaling", 1.0)
    config["scaling"] = scaling if isinstance(scaling, str) else float(scaling)
    if not any(part.method == "invertible" for part in parts):
        config["inv_adapter"] = None
    # A user's interface may have hidden the residual, whatever the configuration asked for.
    reads = {
        part.settings.original_ln_before
        for part in parts
        if isinstance(part.settings, BottleneckSettings) and not part.settings.is_parallel
    }
    if reads == {False}:
        config["original_ln_before"] = False
    # Kronecker products were unfolded when they were read.
    return config | {"phm_layer": False}, parts


def _prefix(config: Config, parts: list[Part], _adapter: Adapter) -> Written:
    # The network before the keys and values was applied when they were read.
    return config | {"flat": True}, parts


def _lora(config: Config, parts: list[Part], adapter: Adapter) -> Written:
    """VeRA and MTL-LoRA became plain factors; scales are those that were trained."""
    config |= {"architecture": "lora", "vera_d": None, "vera_b": None, "dtype": None}
    config = {key: value for key, value in config.items() if key not in _MTL_KEYS}
    config["use_dora"] = any(part.method == "dora" for part in parts)
    if any(isinstance(part.settings, Ia3Settings) for part in parts):
        alphas = {part.settings.alpha for part in parts if isinstance(part.settings, Ia3Settings)}
        if len(alphas) > 1:
            raise inexpressible(adapter, "its factors were trained with two different alphas")
        return config | {"alpha": alphas.pop()}, parts
    scales = {
        part.settings.scale
        for part in parts
        if isinstance(part.settings, (LoraSettings, DoraSettings)) and not part.settings.use_gating
    }
    if len(scales) == 1:
        return config | {"alpha": scales.pop() * config.get("r", 8)}, parts
    if not scales:
        return config, parts
    return config | {"alpha": config.get("r", 8)}, [_unscaled(part) for part in parts]


def _unscaled(part: Part) -> Part:
    """A LoRA Part whose scale is in its factors."""
    settings = part.settings
    if not isinstance(settings, LoraSettings) or settings.use_gating:
        return part
    tensors = dict(part.tensors) | {"up": part.tensors["up"] * settings.scale}
    return replace(part, settings=replace(settings, scale=1.0), tensors=tensors)


def _reft(config: Config, parts: list[Part], _adapter: Adapter) -> Written:
    """Projections were computed when they were read."""
    kinds = [part.settings for part in parts if isinstance(part.settings, ReftSettings)]
    subtracts = all(settings.subtracts for settings in kinds)
    is_tied = not any("projection_1" in part.tensors for part in parts)
    config |= {"orthogonality": False, "dtype": None, "tied_weights": is_tied}
    config.pop(SUBTRACTS, None)
    return config if subtracts else config | {SUBTRACTS: False}, parts


_ARCHITECTURES: Mapping[str, Callable[[Config, list[Part], Adapter], Written]] = {
    "bottleneck": _bottleneck,
    "lora": _lora,
    "mtl_lora": _lora,
    "prefix_tuning": _prefix,
    "reft": _reft,
}


def inexpressible(adapter: Adapter, why: str) -> RejectedAdapter:
    """What refuses to write an adapter as AdapterHub's files, and why."""
    message = f"AdapterHub's format cannot hold this adapter: {why}."
    return RejectedAdapter(adapter.name, [Note("not_expressible", message)])
