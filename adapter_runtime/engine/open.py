"""Opening an engine on a backbone Source."""

from __future__ import annotations

from functools import partial

import torch

from adapter_runtime.backbone.load import load_backbone
from adapter_runtime.config import EngineConfig
from adapter_runtime.engine.engine import LocalEngine
from adapter_runtime.errors import SettingsError
from adapter_runtime.sources.resolve import at_hand, pin_revision, resolve
from adapter_runtime.sources.rules import SourceRules

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def open_engine(backbone: str, config: EngineConfig | None = None) -> LocalEngine:
    """Load a backbone once and own its device. Blocks.

    Args:
        backbone: a Source: a folder, `pkg://…`, `hf://…`.
        config: how to use the machine.

    Raises:
        SourceError: the files cannot be found.
        BackboneError: the files are no supported backbone.
        SettingsError: the device is not there.
    """
    config = config or EngineConfig()
    device = pick_device(config.device)
    rules = SourceRules(
        config.allowed_sources, config.max_file_bytes, config.max_source_bytes, config.cache_dir
    )
    folder = resolve(backbone, rules=_backbone_rules(config))
    loaded = load_backbone(folder, device, pick_dtype(config.dtype, device))
    return LocalEngine(
        loaded,
        config,
        partial(resolve, rules=rules),
        partial(pin_revision, rules=rules),
        partial(at_hand, rules=rules),
    )


def _backbone_rules(config: EngineConfig) -> SourceRules:
    """The operator names the backbone himself, so every Source is allowed."""
    most = config.max_backbone_bytes
    return SourceRules((), most, max(most, config.max_source_bytes), config.cache_dir)


def pick_device(name: str) -> torch.device:
    """The device of a setting; `auto` is CUDA when there is one.

    Raises:
        SettingsError: CUDA was asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise SettingsError("device is cuda, but no CUDA device is here; use --device cpu.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype of a setting; `auto` is float32 on CPU and bfloat16 on CUDA."""
    if name == "auto":
        name = "bfloat16" if device.type == "cuda" else "float32"
    return _DTYPES[name]
