"""The files of a Source that Polyhead reads; no others are fetched, watched or hashed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

WANTED = (
    "config.json",
    "model*.safetensors",
    "model*.safetensors.index.json",
    "adapter*.json",
    "adapter*.safetensors",
    "adapter_model.bin",
    "pytorch_adapter.bin",
    "pytorch_model_head.bin",
    "pytorch_model_adapter_fusion.bin",
    "head_config.json",
    "embedding.pt",
    "tokenizer*",
    "vocab.*",
    "merges.txt",
    "sentencepiece*.model",
    "spiece.model",
    "spm.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_*_config.json",
    "[0-9]_*/config.json",
)
OLD_WEIGHTS = ("pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json")
"""Wanted only where a backbone has no safetensors: many repositories hold both."""

_NUMBERED = "[0-9]_*"


def is_numbered(folder: str) -> bool:
    """Whether a folder of that name within a Source holds files that are read."""
    return fnmatchcase(folder, _NUMBERED)


def pick_files(names: Iterable[str]) -> tuple[str, ...]:
    """Those of a folder's files that Polyhead reads, sorted.

    Args:
        names: paths within the folder, with `/` between their parts.
    """
    found = tuple(sorted(names))
    picked = {name for name in found if _matches(name, WANTED)}
    is_backbone = "config.json" in picked and "adapter_config.json" not in picked
    if is_backbone and not any(_matches(name, ("*.safetensors",)) for name in picked):
        picked |= {name for name in found if _matches(name, OLD_WEIGHTS)}
    return tuple(sorted(picked))


def present_files(root: Path) -> tuple[str, ...]:
    """The files of a folder on disk that Polyhead reads, sorted."""
    return pick_files(_files(root))


def _files(root: Path) -> Iterator[str]:
    for path in root.iterdir():
        if path.is_file():
            yield path.name
        elif is_numbered(path.name) and (path / "config.json").is_file():
            yield f"{path.name}/config.json"


def _matches(name: str, patterns: Iterable[str]) -> bool:
    # A star stands for anything but a slash: nothing below other folders is read.
    return any(
        name.count("/") == pattern.count("/") and fnmatchcase(name, pattern) for pattern in patterns
    )
