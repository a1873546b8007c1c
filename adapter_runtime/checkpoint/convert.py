"""Rewriting a readable checkpoint: in AdapterHub's current format, or as safetensors.

Source: https://docs.adapterhub.ml/loading.html; https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.files import read_tensors
from adapter_runtime.checkpoint.heads.adapterhub import CONFIG_FILE as HEAD_CONFIG_FILE
from adapter_runtime.checkpoint.heads.adapterhub import PICKLE_FILE, SAFE_FILE
from adapter_runtime.checkpoint.heads.reading import read_head, write_head
from adapter_runtime.checkpoint.hub.fusions import CONFIG_FILE as FUSION_CONFIG_FILE
from adapter_runtime.checkpoint.hub.fusions import read_fusion_layer
from adapter_runtime.checkpoint.hub.interfaces import INTERFACE_FILE
from adapter_runtime.checkpoint.hub.writer import write_adapter, write_fusion_layer
from adapter_runtime.checkpoint.reader import read_adapter, read_config_kind
from adapter_runtime.errors import RejectedAdapter, SettingsError
from adapter_runtime.heads.layers import StackSettings
from adapter_runtime.methods.fusion_files import untempered
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Adapter, HeadWeights, Note, Part

FORMS = ("adapterhub", "safetensors")
SAFE_NAMES: Mapping[str, str] = {
    "pytorch_adapter.bin": "adapter.safetensors",
    "pytorch_model_head.bin": "model_head.safetensors",
    "pytorch_model_adapter_fusion.bin": "model_adapter_fusion.safetensors",
    "adapter_model.bin": "adapter_model.safetensors",
}
"""Pickles that checkpoints consist of, and what the libraries call them as safetensors."""

_CONFIGS = ("adapter_config.json", HEAD_CONFIG_FILE, FUSION_CONFIG_FILE, INTERFACE_FILE)


def convert(
    source: Folder,
    target: Path,
    form: str,
    facts: BackboneFacts,
    options: Mapping[str, Any],
) -> tuple[str, ...]:
    """Write a checkpoint in another form and read it back. Blocks.

    Args:
        source: an adapter's, a head's or a fusion's folder.
        target: an empty folder that exists.
        form: one of `FORMS`.
        facts: the backbone that it belongs to.
        options: the task's, such as `lora_scaling`; they hold for what is written.

    Returns:
        The names of the files written.

    Raises:
        SourceError: a file cannot be read.
        RejectedAdapter: the checkpoint is refused, or the form cannot say what it does.
    """
    before = _read(source, facts, options)
    if form == "safetensors":
        _rewrite_files(source, target)
    else:
        _rewrite_adapterhub(source, target, before, facts)
    # What was written says all that the options said.
    kept = options if form == "safetensors" else {}
    _check_same(before, _read(Folder(target, str(target)), facts, kept), source)
    return tuple(sorted(path.name for path in target.iterdir()))


class _Content(NamedTuple):
    """What a folder holds; None for what it does not."""

    adapter: Adapter | None
    fusion: Adapter | None
    head: HeadWeights | None


def _read(folder: Folder, facts: BackboneFacts, options: Mapping[str, Any]) -> _Content:
    has_adapter = read_config_kind(folder) is not None
    has_fusion = folder.has(FUSION_CONFIG_FILE)
    content = _Content(
        read_adapter(folder, facts, options) if has_adapter else None,
        read_fusion_layer(folder, facts, options) if has_fusion else None,
        read_head(folder, facts, None, options),
    )
    if not any(content):
        message = (
            "There is neither an adapter nor a fusion layer nor a head; give the folder that holds "
            "the files."
        )
        raise RejectedAdapter(folder.source, [Note("not_an_adapter", message)])
    return content


def _rewrite_files(source: Folder, target: Path) -> None:
    """The same files, with every pickle as safetensors."""
    for name in _CONFIGS:
        if source.has(name):
            shutil.copyfile(source.path(name), target / name)
    for pickled, safe in SAFE_NAMES.items():
        found = next((name for name in (safe, pickled) if source.has(name)), None)
        if found is not None:
            tensors = read_tensors(source, found)
            # Several names may mean one storage, which the format does not allow.
            own = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
            save_file(own, target / safe, metadata={"format": "pt"})


def _rewrite_adapterhub(
    source: Folder, target: Path, content: _Content, facts: BackboneFacts
) -> None:
    if content.adapter is not None:
        write_adapter(content.adapter, target, facts, _writable(content.adapter.name))
    if content.fusion is not None:
        write_fusion_layer(content.fusion, target, facts)
    if content.head is not None:
        owner = content.adapter or content.fusion
        name = owner.name if owner else content.head.spec.name or source.root.name
        _rewrite_head(source, target, content.head, facts, _writable(name))


def _writable(name: str) -> str:
    """The name that the library can keep: its modules are attributes, and dots part their names.

    PEFT adapters have no name but their folder's.
    """
    name = name.replace(".", "_")
    return f"{name}_" if hasattr(nn.ModuleDict, name) else name


def _rewrite_head(
    source: Folder, target: Path, head: HeadWeights, facts: BackboneFacts, name: str
) -> None:
    try:
        write_head(head, target, facts, name)
    except SettingsError as error:
        is_changed = not getattr(head.spec.settings, "inverts", True)
        if is_changed or not source.has(HEAD_CONFIG_FILE):
            raise RejectedAdapter(source.source, [Note("not_expressible", f"{error}")]) from error
        # Nothing newer can say what this file says to the library.
        for file in (HEAD_CONFIG_FILE, SAFE_FILE, PICKLE_FILE):
            if source.has(file):
                shutil.copyfile(source.path(file), target / file)


def _check_same(before: _Content, after: _Content, source: Folder) -> None:
    """Whether what was written means what was read.

    Raises:
        RejectedAdapter: it does not.
    """
    is_same = (
        _same_parts(before.adapter, after.adapter)
        and _same_parts(before.fusion, after.fusion)
        and _same_head(before.head, after.head)
    )
    if not is_same:
        message = "What was written does not read back as the same adapter; please report it."
        raise RejectedAdapter(source.source, [Note("not_expressible", message)])


def _same_parts(before: Adapter | None, after: Adapter | None) -> bool:
    if before is None or after is None:
        return before is after
    parts = [{(part.method, part.point): part for part in one.parts} for one in (before, after)]
    added = parts[1].keys() - parts[0].keys()
    is_whole = parts[0].keys() <= parts[1].keys() and not any(map(_acts, map(parts[1].get, added)))
    return is_whole and all(_same_part(part, parts[1][key]) for key, part in parts[0].items())


def _acts(part: Part | None) -> bool:
    """Whether a Part changes anything: products with zero and scales of one do not."""
    if part is None or part.method not in ("lora", "ia3"):
        return True
    if part.method == "ia3":
        return bool((part.tensors["scale"] != 1).any())
    return bool(part.tensors["up"].any())


def _same_part(before: Part, after: Part) -> bool:
    if before.method == "lora":
        products = [
            part.tensors["up"] @ part.tensors["down"] * getattr(part.settings, "scale", 1.0)
            for part in (before, after)
        ]
        return bool(products[0].allclose(products[1], rtol=1e-5, atol=1e-6))
    if before.method == "fusion":
        before, after = untempered(before), untempered(after)
    is_alike = before.settings == after.settings and before.tensors.keys() == after.tensors.keys()
    return is_alike and all(
        tensor.shape == after.tensors[name].shape
        and bool(tensor.allclose(after.tensors[name], rtol=1e-5, atol=1e-6))
        for name, tensor in before.tensors.items()
    )


def _same_head(before: HeadWeights | None, after: HeadWeights | None) -> bool:
    if before is None or after is None:
        return before is after
    old, new = _unscaled(before), _unscaled(after)
    return (
        before.spec.labels == after.spec.labels
        and old.keys() == new.keys()
        and all(torch.allclose(tensor, new[name], 1e-6, 1e-7) for name, tensor in old.items())
    )


def _unscaled(head: HeadWeights) -> dict[str, Tensor]:
    """A head's tensors with the factor on the states before it folded in."""
    tensors, settings = dict(head.tensors), head.spec.settings
    if isinstance(settings, StackSettings):
        tensors["0.weight"] = tensors["0.weight"] * settings.scale
    return tensors
