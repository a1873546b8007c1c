"""Writing adapters as the `adapters` library reads them.

What was folded when it was read is written folded: Compacter as plain bottlenecks, VeRA and
MTL-LoRA as LoRA, orthogonal ReFT as NoReFT, prefixes flat. The library computes the same from it.

Source: `AdapterLoader.save` of `adapters` 1.3.0.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.heads.static import family_of
from adapter_runtime.checkpoint.hub.adapterhub import CONFIG_FILE
from adapter_runtime.checkpoint.hub.fresh import FORMAT_VERSION, new_adapter
from adapter_runtime.checkpoint.hub.fusions import CONFIG_FILE as FUSION_CONFIG_FILE
from adapter_runtime.checkpoint.hub.fusions import WEIGHT_FILES as FUSION_WEIGHT_FILES
from adapter_runtime.checkpoint.hub.fusions import fused_names
from adapter_runtime.checkpoint.hub.named_configs import expand_config
from adapter_runtime.checkpoint.hub.written_configs import inexpressible, written_config
from adapter_runtime.checkpoint.peft.to_hub import convert_peft
from adapter_runtime.ledger import Ledger
from adapter_runtime.methods.bottleneck_files import write_bottleneck
from adapter_runtime.methods.configuration import BadConfig, HubFile
from adapter_runtime.methods.fusion_files import expand_fusion, write_fusion
from adapter_runtime.methods.invertible_files import write_invertible
from adapter_runtime.methods.lora_files import attention_matrices, write_lora
from adapter_runtime.methods.prefix_files import write_prefix
from adapter_runtime.methods.prompt_files import write_prompt
from adapter_runtime.methods.reft_files import write_reft
from adapter_runtime.types import NOTHING, Adapter, Part

__all__ = ["new_adapter", "write_adapter", "write_fusion_layer"]

WEIGHTS_FILE = "pytorch_adapter.bin"

Tensors = dict[str, Tensor]
Writer = Callable[[Sequence[Part], str, Any, BackboneFacts], Tensors]
"""The tensors of all Parts of one method: the adapter's name, its written configuration."""


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
    is_ours = adapter.format == "adapterhub"
    config, parts = written_config(adapter) if is_ours else convert_peft(adapter, facts)
    _write_config(directory, name, config, facts)
    tensors: Tensors = {}
    for method in dict.fromkeys(part.method for part in parts):
        members = [part for part in parts if part.method == method]
        tensors |= _WRITERS[method](members, name, config, facts)
    _write_tensors(tensors, directory / WEIGHTS_FILE, facts)


def _bottlenecks(parts: Sequence[Part], name: str, _config: Any, facts: BackboneFacts) -> Tensors:
    tensors: Tensors = {}
    for part in parts:
        tensors |= write_bottleneck(part, name, facts.adapter_paths[part.point])
    return tensors


def _products(parts: Sequence[Part], name: str, config: Any, facts: BackboneFacts) -> Tensors:
    whole = expand_config(config)
    children = whole.get("configs", [whole])
    child = next(child for child in children if child.get("architecture") == "lora")
    tensors: Tensors = {}
    for part in parts:
        path = facts.path(part.point)
        tensors |= write_lora(part, name, path, attention_matrices(child))
    return tensors


def _refts(parts: Sequence[Part], name: str, _config: Any, facts: BackboneFacts) -> Tensors:
    tensors: Tensors = {}
    for part in parts:
        tensors |= write_reft(part, name, facts.layer_paths[part.point.layer])
    return tensors


def _prefixes(parts: Sequence[Part], name: str, _config: Any, facts: BackboneFacts) -> Tensors:
    return write_prefix(parts, name, facts)


def _prompts(parts: Sequence[Part], name: str, _config: Any, _facts: BackboneFacts) -> Tensors:
    return write_prompt(parts[0], name)


def _invertibles(parts: Sequence[Part], name: str, _config: Any, facts: BackboneFacts) -> Tensors:
    has_encoder = bool(facts.config.get("is_encoder_decoder"))
    written = [write_invertible(part, name, is_in_encoder=has_encoder) for part in parts]
    return {key: tensor for tensors in written for key, tensor in tensors.items()}


_WRITERS: Mapping[str, Writer] = {
    "bottleneck": _bottlenecks,
    "lora": _products,
    "dora": _products,
    "ia3": _products,
    "reft": _refts,
    "prefix": _prefixes,
    "prompt": _prompts,
    "invertible": _invertibles,
}


def write_fusion_layer(fusion: Adapter, directory: Path, facts: BackboneFacts) -> None:
    """Write `adapter_fusion_config.json` and its weights into a folder that exists. Blocks.

    Raises:
        RejectedAdapter: AdapterHub's format cannot say what the layer does.
    """
    file = HubFile(fusion.name, facts, Ledger({}))
    try:
        config, tensors = write_fusion(
            expand_fusion(fusion.config.get("config")), fusion.parts, file
        )
    except BadConfig as error:
        raise inexpressible(fusion, str(error)) from error
    names = {"adapter_names": list(fused_names(fusion))}
    _write_config(directory, fusion.name, config, facts, FUSION_CONFIG_FILE, names)
    _write_tensors(tensors, directory / FUSION_WEIGHT_FILES[-1], facts)


def _write_tensors(tensors: Tensors, path: Path, facts: BackboneFacts) -> None:
    stored = {f"{facts.prefix}.{key}": tensor.contiguous() for key, tensor in tensors.items()}
    torch.save(stored, path)


def _write_config(
    directory: Path,
    name: str,
    config: Any,
    facts: BackboneFacts,
    file: str = CONFIG_FILE,
    more: Mapping[str, Any] = NOTHING,
) -> None:
    content = {
        "config": config,
        "hidden_size": facts.hidden_size,
        "model_class": f"{family_of(facts.model_type)}AdapterModel",
        "model_name": facts.model_name,
        "model_type": facts.model_type,
        "name": name,
        "version": FORMAT_VERSION,
        **more,
    }
    text = json.dumps(content, indent=2, sort_keys=True)
    (directory / file).write_text(text, encoding="utf-8")
