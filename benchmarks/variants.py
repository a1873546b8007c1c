"""Many adapters with heads, made from one of the demo's, whose answers tell them apart."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

SOURCE = Path(__file__).parent.parent / "examples" / "adapters" / "sentiment"
WEIGHTS = ("adapter.safetensors", "model_head.safetensors")
TEXTS = (
    "A warm, funny and beautifully acted film.",
    "The battery died after two days and support never answered.",
    "Not bad at all, though I expected more of the second half.",
)
TOLERANCE = 1e-4
"""An answer within this of what a version answers alone, score by score, is that version's."""
_APART, _STEP, _SOFT = 101, 0.05, 0.2


def write_variant(folder: Path, seed: int, strength: float = 0.05) -> Path:
    """The demo's sentiment adapter with each weight moved; equal seeds give equal files.

    Weights that are only moved a little give nearly equal answers: the head's output is shifted
    too, by another amount for each of 101 seeds, and made so flat that no score comes near 1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    for name in ("adapter_config.json", "head_config.json"):
        shutil.copyfile(SOURCE / name, folder / name)
    for name in WEIGHTS:
        tensors = load_file(SOURCE / name)
        moved = {
            key: value + strength * value.std(correction=0) * _noise(value, generator)
            for key, value in tensors.items()
        }
        save_file(_shifted(moved, seed), folder / name)
    return folder


def _shifted(tensors: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    """A head's tensors with its output shifted; others as they are."""
    shift = _STEP * (seed % _APART - _APART // 2)
    for key, value in tensors.items():
        if key.endswith(".4.weight"):
            value *= _SOFT
        elif key.endswith(".4.bias"):
            value += torch.tensor([-shift, shift]) / 2
    return tensors


def _noise(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(like.shape, generator=generator)


def write_variants(folder: Path, count: int, first: int = 0) -> Sequence[Path]:
    """So many folders `v0`, `v1` …"""
    return [write_variant(folder / f"v{seed}", seed) for seed in range(first, first + count)]


def expected_answers(backbone: str, folders: Sequence[Path]) -> list[list[dict[str, float]]]:
    """What each folder's adapter and head answer to each of `TEXTS`: scores by label.

    Raises:
        ValueError: two of them answer too much alike to be told apart.
    """
    from adapter_runtime import AdapterRuntime

    runtime = AdapterRuntime.from_pretrained(backbone, device="cpu")
    found = []
    for number, folder in enumerate(folders):
        runtime.load_adapter(str(folder), name=f"v{number}", with_head=True)
        runtime.set_active_adapters(f"v{number}")
        answers = runtime.predict(list(TEXTS))
        found.append([{each.label: each.score for each in answer} for answer in answers])
        runtime.delete_adapter(f"v{number}")
        runtime.delete_head(f"v{number}")
    runtime.close()
    for number in range(len(TEXTS)):
        scores = sorted(answers[number]["positive"] for answers in found)
        if any(high - low < 4 * TOLERANCE for low, high in pairwise(scores)):
            raise ValueError(f"Two variants answer alike to text {number}; choose other seeds.")
    return found
