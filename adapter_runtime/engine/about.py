"""What the doctor tells about adapters, heads and what they cost, as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adapter_runtime.backbone.backbone import Backbone
from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.engine.holdings import Holdings
from adapter_runtime.residency.slots import SlotPool
from adapter_runtime.sites import EMBEDDING_SITES, MODEL_LEVEL, Site
from adapter_runtime.types import Adapter, HeadWeights, Note, Part


def about_backbone(facts: BackboneFacts) -> Mapping[str, Any]:
    """The fingerprint that checkpoints are compared with."""
    return {
        "name": facts.model_name,
        "model_type": facts.model_type,
        "hidden_size": facts.hidden_size,
        "num_layers": facts.num_layers,
        "vocab_size": facts.vocab_size,
    }


def about_adapter(adapter: Adapter, slots: SlotPool) -> Mapping[str, Any]:
    """Format, methods, placement per layer, quirks and size of one adapter."""
    layers: dict[str, list[int]] = {}
    for part in adapter.parts:
        layers.setdefault(f"{part.method} at {part.point.site}", []).append(part.point.layer)
    return {
        "name": adapter.name,
        "format": adapter.format,
        "library": adapter.library,
        "digest": adapter.digest,
        "methods": list(adapter.methods),
        "plug_points": {
            name: [] if places == [MODEL_LEVEL] else sorted(places)
            for name, places in layers.items()
        },
        "quirks": [about_note(note) for note in adapter.notes],
        "parameters": sum(map(num_parameters, adapter.parts)),
        "device_bytes": slots.bytes_of(adapter),
    }


def about_note(note: Note) -> Mapping[str, str]:
    """A note as a mapping."""
    return {"code": note.code, "message": note.message}


def about_fingerprint(adapter: Adapter, facts: BackboneFacts) -> Mapping[str, Any]:
    """What the checkpoint says of its backbone, beside this one; None where it says nothing."""
    config = adapter.config
    named = config.get("model_name") or config.get("base_model_name_or_path")
    layers = [part.point.layer for part in adapter.parts if part.point.layer != MODEL_LEVEL]
    return {
        "trained_on": named,
        "model_type": config.get("model_type"),
        "hidden_size": config.get("hidden_size"),
        "num_layers": max(layers) + 1 if layers else None,
        "matches": not any(note.code == "other_backbone_name" for note in adapter.notes)
        and config.get("hidden_size") in (None, facts.hidden_size),
    }


def about_head(head: HeadWeights) -> Mapping[str, Any]:
    """A head's type, size and tensors, and what became of each tensor of its file."""
    return {
        "type": head.spec.head_type,
        "name": head.spec.name,
        "num_labels": len(head.spec.labels),
        "tensors": {name: list(tensor.shape) for name, tensor in head.tensors.items()},
        "accounts": dict(head.accounts),
    }


def about_cost(
    adapters: Sequence[Adapter], head: HeadWeights, backbone: Backbone, holdings: Holdings
) -> Mapping[str, Any]:
    """Parameters and bytes, and multiply-adds per token as a share of a backbone forward's."""
    parts = [part for adapter in adapters for part in adapter.parts]
    total = sum(weight.numel() for weight in backbone.model.parameters())
    products = sum(shape[0] * shape[1] for shape in backbone.facts.linears.values())
    slots, heads = holdings.slots, holdings.heads
    return {
        "adapter_parameters": sum(map(num_parameters, parts)),
        "adapter_bytes": sum(adapter.num_bytes for adapter in adapters),
        "head_bytes": head.num_bytes,
        "device_bytes": sum(map(slots.bytes_of, adapters)) + heads.bytes_of(head),
        "share_of_backbone": round(sum(map(num_parameters, parts)) / total, 6),
        "share_of_forward": round(_products(parts) / products, 6),
    }


def num_parameters(part: Part) -> int:
    """Numbers in a Part's tensors."""
    return sum(tensor.numel() for tensor in part.tensors.values())


_PER_ROW = EMBEDDING_SITES | {Site.KEYS_VALUES, Site.CROSS_KEYS_VALUES, Site.POOLER}


def _products(parts: Iterable[Part]) -> int:
    """Multiply-adds that Parts add for every token; matrices only, as for the backbone."""
    return sum(
        tensor.numel()
        for part in parts
        if part.point.site not in _PER_ROW
        for tensor in part.tensors.values()
        if tensor.ndim == 2
    )
