"""Tokenizers of every class give the ids that transformers 4 gives, from any of their files."""

from __future__ import annotations

import json
import zipfile
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from adapter_runtime.backbone.tokenizer import Tokenizer
from adapter_runtime.sources.folder import Folder

GOLDENS = Path(__file__).parent.parent / "goldens" / "tokenizers"
CASES: dict[str, dict[str, Any]] = json.loads((GOLDENS / "cases.json").read_text("utf-8"))


@cache
def folders() -> Path:
    """The tokenizers as transformers 4 saved them."""
    root = Path(mkdtemp(prefix="tokenizers-"))
    with zipfile.ZipFile(GOLDENS / "folders.zip") as archive:
        archive.extractall(root)
    return root


@cache
def tokenizer_of(name: str) -> Tokenizer:
    """One of them."""
    folder = Folder(folders() / name, name)
    return Tokenizer.from_folder(folder, CASES[name]["model_type"], 512, has_types=True)


@pytest.mark.parametrize("name", CASES)
def test_texts_and_pairs_become_the_same_tokens(name: str) -> None:
    """Special tokens, blanks, bytes and marks inside a text included."""
    case = CASES[name]
    found = [list(tokenizer_of(name).encode(*texts)[0].ids) for texts in case["texts"]]
    assert case["ids"] == found


@pytest.mark.parametrize("name", CASES)
def test_ids_become_the_same_text(name: str) -> None:
    """The answers of language models are texts."""
    case = CASES[name]
    assert case["decoded"] == [tokenizer_of(name).text(ids) for ids in case["ids"]]


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith(("albert", "deberta"))])
def test_the_second_text_has_a_type_of_its_own(name: str) -> None:
    """Where the backbone tells texts by it."""
    case = CASES[name]
    found = [list(tokenizer_of(name).encode(*texts)[0].types) for texts in case["texts"]]
    assert case["types"] == found
    assert 1 in found[-1]
