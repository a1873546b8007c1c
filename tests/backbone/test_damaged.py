"""A damaged backbone is one sentence, whatever is wrong with its files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from adapter_runtime.backbone.load import load_backbone
from adapter_runtime.errors import BackboneError, InvalidInput, PolyheadError
from adapter_runtime.sources.folder import Folder
from tests.engine.workshop import write_backbone


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound backbone to damage."""
    return write_backbone("bert", tmp_path)


def load(folder: Path):
    """Load it, tokenizer included."""
    return load_backbone(Folder(folder, "damaged"), torch.device("cpu"), torch.float32).tokenizer


@pytest.mark.parametrize(
    ("name", "content"),
    (
        ("model.safetensors", b""),
        ("model.safetensors", b"\xff" * 64),
        ("config.json", b"[]"),
        ("config.json", b'"x"'),
        ("config.json", b'{"model_type": "bert", "hidden_size": "x"}'),
        ("modules.json", b"[{}]"),
        ("modules.json", b"5"),
        ("special_tokens_map.json", b"[]"),
        ("tokenizer_config.json", b'{"added_tokens_decoder": {"a": 5}}'),
        ("tokenizer.json", b"{}"),
    ),
)
def test_damaged_files_are_one_sentence(folder: Path, name: str, content: bytes) -> None:
    """No error of a reader below comes through."""
    if name == "tokenizer_config.json":
        tokenizer = load(folder)
        tokenizer._backend.save(str(folder / "tokenizer.json"))
    (folder / name).write_bytes(content)
    with pytest.raises(PolyheadError) as refused:
        load(folder)
    assert "\n" not in str(refused.value)


def test_a_truncated_weight_file_is_one_sentence(folder: Path) -> None:
    """As a broken download leaves it."""
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BackboneError, match="fetch its files again"):
        load(folder)


def test_an_index_without_files_is_refused(folder: Path) -> None:
    """A sharded checkpoint names its parts."""
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": []}))
    with pytest.raises(BackboneError, match="names no weight files"):
        load(folder)


def test_a_tokenizer_of_another_backbone_fails_its_own_texts_only(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A token without an embedding is refused where the row is made."""
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(folder, other, dirs_exist_ok=True)
    with (other / "vocab.txt").open("a") as vocabulary:
        vocabulary.write("stranger\n")
    tokenizer = load(other)
    tokens, _ = tokenizer.encode("the cat")
    assert tokenizer.row(tokens).input_ids
    strange, _ = tokenizer.encode("the stranger")
    with pytest.raises(InvalidInput, match="no embedding"):
        tokenizer.row(strange)
