"""Weight merging: several checkpoints become one adapter when they are read.

Source: `average_adapter` of `adapters` 1.3.0, with its three strategies;
`lora_linear_only_negate_b` is of Zhang et al. 2023 (https://arxiv.org/abs/2306.14870).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.files import find_file, read_tensors
from adapter_runtime.checkpoint.hub.adapterhub import CONFIG_FILE
from adapter_runtime.checkpoint.hub.legacy import bare_name
from adapter_runtime.checkpoint.hub.named_configs import expand_config
from adapter_runtime.checkpoint.reader import read_adapter
from adapter_runtime.compositions import MERGE_STRATEGIES
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.methods.lora import LoraSettings
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Adapter, HeadWeights, Merge, Note, Part

_LINEAR, _NEGATE_B, _ = MERGE_STRATEGIES
_WEIGHT_FILES = {
    "adapterhub": ("adapter.safetensors", "pytorch_adapter.bin"),
    "peft": ("adapter_model.safetensors", "adapter_model.bin"),
}
_OWNERS = frozenset(
    (
        "adapters",
        "loras",
        "invertible_adapters",
        "prefix_tunings",
        "prefix_gates",
        "prompt_tunings",
        "refts",
        "shared_parameters",
    )
)
"""What stands before an adapter's name in the name of a tensor."""


def merge_adapters(
    folders: Sequence[Folder], merge: Merge, facts: BackboneFacts, options: Mapping[str, Any]
) -> Adapter:
    """Several adapters as one. Blocks.

    Args:
        folders: one for each child.
        merge: weights, strategy and rank.
        facts: the backbone.
        options: the task's.

    Raises:
        SourceError: a file cannot be read.
        RejectedAdapter: a checkpoint failed a check, or they cannot be merged.
    """
    adapters = [read_adapter(folder, facts, options) for folder in folders]
    where = " + ".join(folder.source for folder in folders)
    _check_alike(adapters, where)
    methods = {method for adapter in adapters for method in adapter.methods}
    # (IA)³ has nothing but a B, so there the strategy makes no difference.
    if merge.strategy == _LINEAR or (merge.strategy == _NEGATE_B and methods == {"ia3"}):
        merged = _merge_files(folders, adapters, merge, facts, options)
    else:
        _check_lora(adapters, where)
        merged = replace(
            adapters[0],
            parts=_merge_parts(adapters, merge, where),
            config=_with_rank(adapters[0].config, merge.svd_rank),
        )
    notes = dict.fromkeys(note for adapter in adapters for note in adapter.notes)
    name = "+".join(adapter.name for adapter in adapters)
    return replace(merged, name=name, digest=_digest(adapters, merge), notes=tuple(notes))


def _check_alike(adapters: Sequence[Adapter], where: str) -> None:
    first = adapters[0]
    for other in adapters[1:]:
        if other.format != first.format:
            message = (
                f"{first.name} is of {first.format}, {other.name} of {other.format}; convert one."
            )
            raise RejectedAdapter(where, [Note("not_mergeable", message)])
        mine, theirs = _structure(first), _structure(other)
        if mine != theirs:
            odd = sorted({str(point) for point, *_ in mine.symmetric_difference(theirs)})
            message = (
                f"{first.name} and {other.name} are configured differently (at {', '.join(odd[:4])}"
                f"{' …' if len(odd) > 4 else ''}); average their outputs instead."
            )
            raise RejectedAdapter(where, [Note("not_mergeable", message)])


def _structure(adapter: Adapter) -> set[tuple[Any, ...]]:
    return {(part.point, part.method, part.settings) for part in adapter.parts}


def _merge_files(
    folders: Sequence[Folder],
    adapters: Sequence[Adapter],
    merge: Merge,
    facts: BackboneFacts,
    options: Mapping[str, Any],
) -> Adapter:
    """The weighted sum of all stored tensors, read like any other checkpoint.

    What is stored is averaged, not what is made of it: methods with factors (Compacter, VeRA,
    prefixes, orthogonal projections) give something else otherwise.
    """
    total: dict[str, Tensor] = {}
    for folder, adapter, weight in zip(folders, adapters, merge.weights, strict=True):
        tensors = _stored(folder, adapter, adapters[0].name, facts)
        if total and {name: value.shape for name, value in total.items()} != {
            name: value.shape for name, value in tensors.items()
        }:
            message = f"{folder.source} stores other tensors than the first; save both alike."
            raise RejectedAdapter(folder.source, [Note("not_mergeable", message)])
        total = {
            name: value * weight + total[name] if total else value * weight
            for name, value in tensors.items()
        }
    with TemporaryDirectory(prefix="polyhead-merge-") as made:
        path = Path(made)
        path.joinpath(CONFIG_FILE).write_text(json.dumps(folders[0].read_json(CONFIG_FILE)))
        torch.save(total, path / _WEIGHT_FILES[adapters[0].format][1])
        return read_adapter(Folder(path, folders[0].source), facts, options)


def _stored(folder: Folder, adapter: Adapter, name: str, facts: BackboneFacts) -> dict[str, Tensor]:
    """A checkpoint's tensors as if its adapter had that name."""
    weights = find_file(folder, _WEIGHT_FILES[adapter.format])
    assert weights is not None, "It has been read before. This is a bug."
    tensors = {key: value.float() for key, value in read_tensors(folder, weights).items()}
    if adapter.format != "adapterhub":
        return tensors
    found = {}
    for stored, tensor in tensors.items():
        segments = bare_name(stored, facts).split(".")
        for place in range(1, len(segments)):
            if segments[place] == adapter.name and segments[place - 1] in _OWNERS:
                segments[place] = name
        found[".".join(segments)] = tensor
    return found


def _check_lora(adapters: Sequence[Adapter], where: str) -> None:
    odd = [part.method for part in adapters[0].parts if part.method != "lora"]
    if odd or not adapters[0].parts:
        message = f"These strategies merge plain LoRA only, not {odd[0] if odd else 'nothing'}"
        raise RejectedAdapter(where, [Note("not_mergeable", f"{message}; use linear.")])
    if any(set(part.tensors) != {"down", "up"} for part in adapters[0].parts):
        message = "Gates and biases have no place in these strategies; use linear."
        raise RejectedAdapter(where, [Note("not_mergeable", message)])
    config = adapters[0].config.get("config")
    stored = expand_config(config) if config is not None else {}
    # Their factors are folded into A and B here, so they look like LoRA.
    if stored.get("architecture") == "mtl_lora" or any(
        stored.get(key) is not None for key in ("vera_d", "vera_b")
    ):
        message = "VeRA and MTL-LoRA can be merged by linear only."
        raise RejectedAdapter(where, [Note("not_mergeable", message)])


def _merge_parts(adapters: Sequence[Adapter], merge: Merge, where: str) -> tuple[Part, ...]:
    columns: dict[Any, list[Part]] = {}
    for adapter in adapters:
        for part in adapter.parts:
            columns.setdefault(part.point, []).append(part)
    combine = _negate_b if merge.strategy == _NEGATE_B else _svd
    return tuple(combine(parts, merge, where) for parts in columns.values())


def _with_rank(config: Mapping[str, Any], rank: int | None) -> Mapping[str, Any]:
    """A checkpoint's configuration as it would be saved after the merge."""
    stored = config.get("config")
    if rank is None or stored is None:
        return config
    return {**config, "config": {**expand_config(stored), "r": rank}}


def _negate_b(parts: Sequence[Part], merge: Merge, where: str) -> Part:
    """A negative weight turns B around and leaves A as it is."""
    shapes = {part.tensors["down"].shape for part in parts}
    if len(shapes) > 1:
        message = f"Ranks differ at {parts[0].point}; use lora_delta_w_svd."
        raise RejectedAdapter(where, [Note("not_mergeable", message)])
    pairs = list(zip(parts, merge.weights, strict=True))
    down = torch.stack([part.tensors["down"] * abs(weight) for part, weight in pairs]).sum(0)
    up = torch.stack([part.tensors["up"] * weight for part, weight in pairs]).sum(0)
    return replace(parts[0], tensors={"down": down, "up": up})


def _svd(parts: Sequence[Part], merge: Merge, where: str) -> Part:
    """The weighted sum of the products, cut to a rank; the library keeps alpha, not alpha / r."""
    rank = merge.svd_rank
    first, settings = parts[0].tensors, parts[0].settings
    assert isinstance(settings, LoraSettings), "A LoRA Part has LoraSettings. This is a bug."
    assert rank is not None, "The strategy was checked to have a rank. This is a bug."
    most = min(first["up"].shape[0], first["down"].shape[1])
    if rank > most:
        message = f"svd_rank {rank} is more than {parts[0].point} has; give 1 to {most}."
        raise RejectedAdapter(where, [Note("not_mergeable", message)])
    delta = torch.stack(
        [
            part.tensors["up"] @ part.tensors["down"] * weight
            for part, weight in zip(parts, merge.weights, strict=True)
        ]
    ).sum(0)
    left, values, right = torch.linalg.svd(delta, full_matrices=False)
    tensors = {"down": right[:rank].contiguous(), "up": left[:, :rank] * values[:rank]}
    scale = settings.scale * first["down"].shape[0] / rank
    return replace(parts[0], tensors=tensors, settings=replace(settings, scale=scale))


def average_heads(name: str, heads: Sequence[HeadWeights], weights: Sequence[float]) -> HeadWeights:
    """A head whose weights are the weighted sum of others; `average_head` of the library.

    Args:
        name: the new head's name.
        heads: at least one.
        weights: one for each.

    Raises:
        RejectedAdapter: they are configured differently.
    """
    first = heads[0]
    if len({_head_structure(head) for head in heads}) > 1:
        message = "Heads of different kinds, sizes or labels cannot be averaged."
        raise RejectedAdapter(name, [Note("not_mergeable", message)])
    tensors = {
        key: torch.stack(
            [head.tensors[key] * weight for head, weight in zip(heads, weights, strict=True)]
        ).sum(0)
        for key in first.tensors
    }
    text = json.dumps([*(head.spec.digest for head in heads), *weights])
    digest = hashlib.sha256(f"average {text}".encode()).hexdigest()
    return HeadWeights(replace(first.spec, digest=digest, name=name), tensors, first.notes)


def _head_structure(head: HeadWeights) -> Hashable:
    shapes = frozenset((key, tuple(tensor.shape)) for key, tensor in head.tensors.items())
    return head.spec.head_type, head.spec.settings, head.spec.labels, shapes


def _digest(adapters: Sequence[Adapter], merge: Merge) -> str:
    facts = [merge.strategy, merge.svd_rank, list(merge.weights)]
    text = json.dumps([*(adapter.digest for adapter in adapters), *facts])
    return hashlib.sha256(f"merge {text}".encode()).hexdigest()
