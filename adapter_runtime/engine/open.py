"""Opening an engine on a backbone Source."""

from __future__ import annotations

from functools import partial

import torch

from adapter_runtime.backbone.load import load_backbone
from adapter_runtime.config import EngineConfig
from adapter_runtime.engine.engine import LocalEngine
from adapter_runtime.errors import SettingsError
from adapter_runtime.memory import bound_kernels, keep_freed
from adapter_runtime.sources.resolve import at_hand, pin_revision, resolve
from adapter_runtime.sources.rules import SourceRules

_STATES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.float32}
"""What the states between the linears are, by dtype."""


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
    keep_freed()
    bound_kernels()
    device = pick_device(config.device)
    rules = SourceRules(
        config.allowed_sources, config.max_file_bytes, config.max_source_bytes, config.cache_dir
    )
    folder = resolve(backbone, rules=_backbone_rules(config))
    dtype = pick_dtype(config, device)
    loaded = load_backbone(folder, device, _STATES[dtype], in_int8=dtype == "int8")
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


def pick_dtype(config: EngineConfig, device: torch.device) -> str:
    """The dtype that a backbone computes in, by the rule of `EngineConfig`.

    Raises:
        SettingsError: int8 was asked for on another device than a CPU.
    """
    if config.dtype == "auto":
        is_native = config.prefer_speed and has_native_bfloat16()
        return "bfloat16" if device.type == "cuda" or is_native else "float32"
    if config.dtype == "int8" and device.type != "cpu":
        raise SettingsError(f"dtype int8 runs on CPU; on {device.type} use bfloat16.")
    return config.dtype


def has_native_bfloat16() -> bool:
    """Whether this CPU has instructions that multiply bfloat16."""
    found = torch.cpu.get_capabilities()
    return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
