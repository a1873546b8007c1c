"""Writing adapters as the `adapters` library reads them.

PEFT adapters are converted where AdapterHub's configuration can say the same: linears that it does
not name one by one get factors that change nothing.

Source: `AdapterLoader.save` of `adapters` 1.3.0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.adapterhub import CONFIG_FILE
from adapter_runtime.checkpoint.fresh import FORMAT_VERSION, new_adapter
from adapter_runtime.checkpoint.heads_static import family_of
from adapter_runtime.checkpoint.legacy import modernise
from adapter_runtime.checkpoint.named_configs import NAMED_CONFIGS, expand_config
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.methods.bottleneck_files import write_bottleneck
from adapter_runtime.methods.ia3 import Ia3Settings
from adapter_runtime.methods.lora import LoraSettings
from adapter_runtime.methods.lora_files import (
    ATTENTION_SITES,
    LINEAR_SITES,
    lora_sites,
    write_lora,
)
from adapter_runtime.types import SUBLAYER_SITES, Adapter, Note, Part, PlugPoint, Site

__all__ = ["new_adapter", "write_adapter"]

WEIGHTS_FILE = "pytorch_adapter.bin"


def write_adapter(
    adapter: Adapter, directory: Path, facts: BackboneFacts, name: str | None = None
) -> None:
    """Write `adapter_config.json` and `pytorch_adapter.bin` into a folder that exists. Blocks.

    Args:
        adapter: the adapter.
        directory: the folder.
        facts: the backbone.
        name: the name to save it under; its own by default.

    Raises:
        RejectedAdapter: AdapterHub's format cannot say what the adapter does.
    """
    name = name or adapter.name
    config: Mapping[str, Any]
    parts: Sequence[Part]
    if adapter.format == "adapterhub":
        config, parts = _current_config(adapter), adapter.parts
    else:
        config, parts = _convert(adapter, facts)
    _write_config(directory, name, config, facts)
    tensors: dict[str, Tensor] = {}
    for part in parts:
        tensors |= _write_part(part, name, facts)
    stored = {f"{facts.prefix}.{key}": tensor.contiguous() for key, tensor in tensors.items()}
    torch.save(stored, directory / WEIGHTS_FILE)


def _write_part(part: Part, name: str, facts: BackboneFacts) -> dict[str, Tensor]:
    if part.point.site in SUBLAYER_SITES:
        return write_bottleneck(part, name, facts.adapter_paths[part.point])
    return write_lora(part, name, facts.path(part.point))


def _write_config(
    directory: Path, name: str, config: Mapping[str, Any], facts: BackboneFacts
) -> None:
    content = {
        "config": config,
        "hidden_size": facts.hidden_size,
        "model_class": f"{family_of(facts.model_type)}AdapterModel",
        "model_name": facts.model_name,
        "model_type": facts.model_type,
        "name": name,
        "version": FORMAT_VERSION,
    }
    text = json.dumps(content, indent=2, sort_keys=True)
    (directory / CONFIG_FILE).write_text(text, encoding="utf-8")


def _current_config(adapter: Adapter) -> Mapping[str, Any]:
    """The adapter's configuration without the quirks that older versions need undone."""
    config = expand_config(adapter.config.get("config"))
    if config.get("architecture") == "union":
        children = [_current(expand_config(child), adapter) for child in config["configs"]]
        return {"architecture": "union", "configs": children}
    return _current(config, adapter)


def _current(config: Mapping[str, Any], adapter: Adapter) -> Mapping[str, Any]:
    current = dict(modernise(config, adapter.config.get("version") is not None))
    if not current.get("architecture"):
        scaling = current.get("scaling", 1.0)
        current["scaling"] = scaling if isinstance(scaling, str) else float(scaling)
        return current | {"inv_adapter": None}
    sites = lora_sites(current)
    settings = next((part.settings for part in adapter.parts if part.point.site in sites), None)
    if isinstance(settings, LoraSettings):
        current["alpha"] = settings.scale * current.get("r", 8)
    elif isinstance(settings, Ia3Settings):
        current["alpha"] = settings.alpha
    return current


def _convert(adapter: Adapter, facts: BackboneFacts) -> tuple[Mapping[str, Any], Sequence[Part]]:
    methods = set(adapter.methods)
    sites = {part.point.site for part in adapter.parts}
    known = {*ATTENTION_SITES.values(), *LINEAR_SITES.values()}
    if methods - {"lora", "ia3"} or len(methods) != 1:
        odd = ", ".join(sorted(methods - {"lora", "ia3"}))
        raise _inexpressible(adapter, f"it has no counterpart of {odd or 'this mixture'}")
    if not sites <= known:
        odd = ", ".join(sorted(sites - known))
        raise _inexpressible(adapter, f"it cannot place anything at {odd}")
    if any("bias" in part.tensors for part in adapter.parts):
        raise _inexpressible(adapter, "its LoRA has no bias")
    parts = {part.point: part for part in adapter.parts}
    rank = max(part.tensors["down"].shape[0] for part in adapter.parts) if "lora" in methods else 1
    layers = {point.layer for point in parts}
    points = [PlugPoint(layer, site) for layer in sorted(layers) for site in sorted(sites)]
    fill = _padded_lora if "lora" in methods else _padded_ia3
    config = dict(NAMED_CONFIGS["lora" if "lora" in methods else "ia3"])
    config |= {"r": rank, "alpha": rank} | _places(sites)
    config["leave_out"] = [layer for layer in range(facts.num_layers) if layer not in layers]
    return config, [fill(point, parts.get(point), rank, facts) for point in points]


def _places(sites: set[Site]) -> dict[str, Any]:
    matrices = [key for key, site in ATTENTION_SITES.items() if site in sites]
    places: dict[str, Any] = {"selfattn_lora": bool(matrices), "attn_matrices": matrices}
    return places | {key: site in sites for key, site in LINEAR_SITES.items()}


def _padded_lora(point: PlugPoint, part: Part | None, rank: int, facts: BackboneFacts) -> Part:
    """The Part at a common rank, its scale folded in; zeros where there is none."""
    width_out, width_in = facts.shapes[point]
    down, up = torch.zeros(rank, width_in), torch.zeros(width_out, rank)
    if part is not None:
        settings, own = part.settings, part.tensors["down"].shape[0]
        assert isinstance(settings, LoraSettings), "A LoRA Part has LoraSettings. This is a bug."
        down[:own], up[:, :own] = part.tensors["down"], part.tensors["up"] * settings.scale
    return Part("lora", point, LoraSettings(1.0), {"down": down, "up": up})


def _padded_ia3(point: PlugPoint, part: Part | None, rank: int, facts: BackboneFacts) -> Part:
    """The Part, or ones where there is none."""
    if part is not None:
        return part
    return Part("ia3", point, Ia3Settings(), {"scale": torch.ones(facts.shapes[point][0])})


def _inexpressible(adapter: Adapter, why: str) -> RejectedAdapter:
    message = f"AdapterHub's format cannot hold this PEFT adapter: {why}."
    return RejectedAdapter(adapter.name, [Note("not_expressible", message)])
