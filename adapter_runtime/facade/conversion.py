"""Converting a checkpoint from a Source into a new folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from adapter_runtime.backbone.load import load_backbone
from adapter_runtime.checkpoint.convert import FORMS, convert
from adapter_runtime.errors import SettingsError
from adapter_runtime.sources.resolve import resolve


def convert_checkpoint(
    source: str,
    target: Path,
    form: str,
    backbone: str,
    options: Mapping[str, Any] | None = None,
) -> tuple[str, ...]:
    """Rewrite an adapter, a head or both, and read the result back before it appears. Blocks.

    Args:
        source: a Source: the checkpoint's folder, `pkg://…` or `hf://…`.
        target: the folder to make; it must not exist, or be empty.
        form: `adapterhub` or `safetensors`.
        backbone: the Source of the backbone that it belongs to.
        options: the task's, such as `lora_scaling`.

    Returns:
        The names of the files in the new folder.

    Raises:
        SourceError, BackboneError: files cannot be found or read.
        RejectedAdapter: the checkpoint is refused, or the form cannot say what it does.
        SettingsError: the form is unknown, or the target is in the way.
    """
    if form not in FORMS:
        raise SettingsError(f"--to {form}: write one of {', '.join(FORMS)}.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise SettingsError(f"{target} is there already; name a folder that is not.")
    folder = resolve(source)
    facts = load_backbone(resolve(backbone), torch.device("cpu"), torch.float32).facts
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        message = f"{target} cannot be written ({error.strerror}); name another folder."
        raise SettingsError(message) from error
    try:
        names = convert(folder, made, form, facts, options or {})
        made.chmod(0o755)
        for path in made.iterdir():
            path.chmod(0o644)
        # Nobody sees half a checkpoint: the folder appears whole.
        made.replace(target)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return names
