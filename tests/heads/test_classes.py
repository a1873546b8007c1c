"""Which classes' heads load on which backbone: a matching class does, any other is reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from adapter_runtime.checkpoint.heads.classes import BY_FAMILY, FAMILIES
from adapter_runtime.checkpoint.heads.reading import read_head
from adapter_runtime.checkpoint.heads.static import (
    FLEX_FAMILIES,
    STATIC_HEADS,
    language_heads,
    model_type_of,
)
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.heads.table import HEADS
from adapter_runtime.types import HeadWeights
from tests.heads.plain import facts, write_folder

WIDTH = 32


def read(model_type: str, path: Path, model_class: str, **config: Any) -> HeadWeights | None:
    """A tagging head that was saved from a class, on a backbone."""
    flexible = {"head_type": "tagging", "num_labels": 2} if config.pop("is_flex", True) else None
    prefix = "heads.a.1" if flexible else "classifier"
    tensors = {f"{prefix}.weight": torch.randn(2, WIDTH), f"{prefix}.bias": torch.randn(2)}
    content = {"config": flexible, "model_class": model_class, "name": "a", "version": "1"}
    folder = write_folder({**content, **config}, tensors, path)
    return read_head(folder, replace(facts("bert"), model_type=model_type))


@pytest.mark.parametrize("family", sorted(FLEX_FAMILIES))
@pytest.mark.parametrize("suffix", ("AdapterModel", "ModelWithHeads"))
def test_flexible_heads_load_on_their_own_family(family: str, suffix: str, tmp_path: Path) -> None:
    """Under the names of either generation of the library."""
    assert read(FAMILIES[family], tmp_path, f"{family}{suffix}") is not None


@pytest.mark.parametrize(
    ("model_type", "model_class", "is_flex", "code"),
    (
        ("bert", "RobertaModelWithHeads", True, "wrong_model_type"),
        ("bert", "BertGenerationAdapterModel", True, "unknown_head_class"),
        ("roberta", "BertForTokenClassification", False, "wrong_model_type"),
        ("xlm-roberta", "RobertaForTokenClassification", False, "wrong_model_type"),
        ("bert", "XmodForTokenClassification", False, "unknown_head_class"),
        ("bert", "ViTForImageClassification", False, "unknown_head_class"),
        ("bert", "MyOwnModel", False, "unknown_head_class"),
        ("gpt2", "GPT2ForMultipleChoice", False, "bad_head_config"),
    ),
)
def test_another_class_is_reported(
    model_type: str, model_class: str, is_flex: bool, code: str, tmp_path: Path
) -> None:
    """The library would skip it, raise with the adapter half loaded, or convert it wrongly."""
    with pytest.raises(RejectedAdapter) as caught:
        read(model_type, tmp_path, model_class, is_flex=is_flex)
    assert [note.code for note in caught.value.problems] == [code]


@pytest.mark.parametrize("head_type", ("image_classification", "my_own_head"))
def test_other_head_types_are_named(head_type: str, tmp_path: Path) -> None:
    """Pictures are out of scope, and custom heads are code of their authors."""
    with pytest.raises(RejectedAdapter, match=head_type):
        read("bert", tmp_path, "BertAdapterModel", config={"head_type": head_type})


def test_every_class_belongs_to_a_served_model_type() -> None:
    """The table's classes, by the names that files give."""
    assert set(BY_FAMILY) == set(FAMILIES)
    for class_name, head in STATIC_HEADS.items():
        assert model_type_of(class_name) in FAMILIES.values(), class_name
        assert head.head_type in HEADS


def test_every_architecture_has_a_language_model() -> None:
    """Masked, causal or from text to text."""
    assert all(language_heads(model_type) for model_type in FAMILIES.values())
