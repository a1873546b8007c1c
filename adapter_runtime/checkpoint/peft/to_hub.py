"""PEFT adapters in AdapterHub's terms, where its configuration can say the same.

Linears that a configuration does not name one by one get factors that change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.hub.named_configs import NAMED_CONFIGS
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.ledger import Ledger
from adapter_runtime.methods.configuration import HubFile
from adapter_runtime.methods.ia3 import Ia3Settings
from adapter_runtime.methods.lora import LoraSettings
from adapter_runtime.methods.lora_files import MATRIX_SITES, lora_points
from adapter_runtime.types import Adapter, Note, Part, PlugPoint, Site

_THIRDS = 3


def convert_peft(
    adapter: Adapter, facts: BackboneFacts
) -> tuple[Mapping[str, Any], Sequence[Part]]:
    """A configuration, and a Part for every place that it names.

    Raises:
        RejectedAdapter: AdapterHub's format cannot say what the adapter does.
    """
    _check(adapter, facts)
    method = adapter.methods[0]
    parts = {part.point: part for part in adapter.parts}
    rank = 1
    if method == "lora":
        rank = max(part.tensors["down"].shape[0] for part in adapter.parts)
    layers = {point.layer for point in parts}
    config = dict(NAMED_CONFIGS[method]) | {"r": rank, "alpha": rank} | _places(set(parts), facts)
    config["leave_out"] = [layer for layer in range(facts.num_layers) if layer not in layers]
    points = lora_points(config, HubFile(adapter.name, facts, Ledger({})))
    fill = _padded_lora if method == "lora" else _padded_ia3
    return config, [fill(point, parts.get(point), rank, facts) for point in points]


def _check(adapter: Adapter, facts: BackboneFacts) -> None:
    methods = set(adapter.methods)
    if methods - {"lora", "ia3"} or len(methods) != 1:
        odd = ", ".join(sorted(methods - {"lora", "ia3"}))
        raise _inexpressible(adapter, f"it has no counterpart of {odd or 'this mixture'}")
    matrices = [site for sites in MATRIX_SITES.values() for site in sites]
    known = {*matrices, Site.QKV, *facts.lora_sites.values()}
    if odd_sites := {part.point.site for part in adapter.parts} - known:
        odd = ", ".join(sorted(odd_sites))
        raise _inexpressible(adapter, f"it cannot place anything at {odd}")
    if any("bias" in part.tensors for part in adapter.parts):
        raise _inexpressible(adapter, "its LoRA has no bias")


def _places(points: set[PlugPoint], facts: BackboneFacts) -> dict[str, Any]:
    sites = {point.site for point in points}
    matrices = [key for key, own in MATRIX_SITES.items() if Site.QKV in sites or sites & set(own)]
    places: dict[str, Any] = {"selfattn_lora": bool(matrices), "attn_matrices": matrices}
    return places | {key: site in sites for key, site in facts.lora_sites.items()}


def _padded_lora(point: PlugPoint, part: Part | None, rank: int, facts: BackboneFacts) -> Part:
    """The Part at a common rank, its scale folded in; zeros where there is none."""
    width_out, width_in = facts.shapes[point]
    down, up = torch.zeros(rank, width_in), torch.zeros(width_out, rank)
    if part is not None:
        settings, own = part.settings, part.tensors["down"].shape[0]
        assert isinstance(settings, LoraSettings), "A LoRA Part has LoraSettings. This is a bug."
        down[:own], up[:, :own] = part.tensors["down"], part.tensors["up"] * settings.scale
    if point.site is Site.QKV:
        # Each third has factors of its own: the same down-projection, and its share of the other.
        blocks = torch.zeros(width_out, _THIRDS * rank)
        for third, share in enumerate(up.chunk(_THIRDS)):
            rows = slice(third * len(share), (third + 1) * len(share))
            blocks[rows, third * rank : (third + 1) * rank] = share
        return Part(
            "lora", point, LoraSettings(1.0), {"down": down.repeat(_THIRDS, 1), "up": blocks}
        )
    return Part("lora", point, LoraSettings(1.0), {"down": down, "up": up})


def _padded_ia3(point: PlugPoint, part: Part | None, rank: int, facts: BackboneFacts) -> Part:
    """The Part, or ones where there is none."""
    if part is not None:
        return part
    return Part("ia3", point, Ia3Settings(), {"scale": torch.ones(facts.shapes[point][0])})


def _inexpressible(adapter: Adapter, why: str) -> RejectedAdapter:
    message = f"AdapterHub's format cannot hold this PEFT adapter: {why}."
    return RejectedAdapter(adapter.name, [Note("not_expressible", message)])
