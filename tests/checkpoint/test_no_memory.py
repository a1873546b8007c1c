"""Weights that are sound, on a machine that is full."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from adapter_runtime.checkpoint import files
from adapter_runtime.checkpoint.files import read_tensors
from adapter_runtime.sources.resolve import resolve


class PanicException(BaseException):
    """What the reader of safetensors, which is written in Rust, raises without memory."""


def test_a_reader_that_panics_has_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A panic is no Exception: who catches those only would end with it."""

    def panic(stored: bytes) -> None:
        raise PanicException("PyObject pointer is null")

    save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    monkeypatch.setattr(files, "load_safe", panic)
    with pytest.raises(MemoryError, match="pointer is null"):
        read_tensors(resolve(str(tmp_path)), "model.safetensors")
