"""Frozen settings of the runtime, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass

from adapter_runtime.errors import SettingsError

DEVICES = ("auto", "cpu", "cuda")
DTYPES = ("auto", "float32", "bfloat16", "int8")


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """How an engine uses its machine.

    Args:
        device: `auto`, `cpu` or `cuda`; auto takes CUDA when there is a device.
        dtype: `auto`, `float32`, `bfloat16` or `int8`. In int8 the linears of the backbone's
            layers compute in whole numbers, everything else in float32; CPU only. `auto` is
            bfloat16 on CUDA and float32 on CPU, but see `prefer_speed`.
        prefer_speed: `auto` is bfloat16 also on a CPU that multiplies it natively.
        cuda_graphs: on CUDA, small batches without adapters are recorded and replayed.
        streams: single-threaded forwards side by side on CPU; 0 means one per core.
        max_slots: adapters on the device at once, at least 1.
        device_bytes: byte limit on the device: one half for adapters, the other for heads.
        host_bytes: byte limit for parsed weights in host memory.
        max_file_bytes: largest adapter or head file that is opened.
        max_backbone_bytes: largest backbone file that is opened.
        allowed_sources: what adapters and heads may be opened from, as `SourceRules.allowed`; empty
            allows everything. The backbone is the operator's own word.
        max_source_bytes: most bytes of one Source that are fetched, all files together.
        cache_dir: where copies of URLs' files are kept; None is the user's cache folder.

    Raises:
        SettingsError: a value is out of range; the message names it.
    """

    device: str = "auto"
    dtype: str = "auto"
    streams: int = 0
    max_slots: int = 1024
    device_bytes: int = 2 << 30
    host_bytes: int = 4 << 30
    max_file_bytes: int = 2 << 30
    max_backbone_bytes: int = 64 << 30
    allowed_sources: tuple[str, ...] = ()
    max_source_bytes: int = 4 << 30
    cache_dir: str | None = None
    prefer_speed: bool = False
    cuda_graphs: bool = True

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise SettingsError(f"device must be one of {', '.join(DEVICES)}, not {self.device!r}.")
        if self.dtype not in DTYPES:
            raise SettingsError(f"dtype must be one of {', '.join(DTYPES)}, not {self.dtype!r}.")
        if self.streams < 0:
            raise SettingsError("streams must be 0 (one per core) or more.")
        for name in (
            "max_slots",
            "device_bytes",
            "host_bytes",
            "max_file_bytes",
            "max_backbone_bytes",
            "max_source_bytes",
        ):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1.")
        if not all(self.allowed_sources):
            raise SettingsError("allowed_sources must list Sources and folders, none empty.")
        if self.cache_dir == "":
            raise SettingsError("cache_dir must name a folder, or be left out.")
