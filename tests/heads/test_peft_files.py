"""PEFT's saved classifiers: which class they are, and which are lost."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from adapter_runtime.checkpoint.heads.reading import head_tensor_names, read_head
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.types import HeadWeights
from tests.goldens.heads.backbones import values
from tests.heads.plain import facts, write_folder
from tests.heads.test_golden_logits import CASES


def files(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A golden case's configuration and tensors, free to be changed."""
    case = deepcopy(CASES[name])
    return case["config"], {key: values(key, shape) for key, shape in case["tensors"].items()}


def read(
    config: dict[str, Any],
    tensors: dict[str, Any],
    path: Path,
    model_type: str = "bert",
    **more: Any,
) -> HeadWeights | None:
    """The head of a folder with these files."""
    return read_head(write_folder(config, tensors, path), facts(model_type), **more)


def test_head_tensors_are_told_from_the_adapters() -> None:
    """Classifiers, under either prefix, are the head's; LoRA pairs and the backbone's are not."""
    head = {
        "base_model.model.classifier.weight",
        "base_model.classifier.bias",
        "base_model.model.classifier.modules_to_save.default.dense.bias",
        "base_model.model.pre_classifier.weight",
    }
    other = {
        "base_model.model.bert.encoder.layer.0.output.dense.lora_A.weight",
        "base_model.model.bert.pooler.dense.bias",
        "base_model.model.classifier.lora_A.weight",
        "prompt_embeddings",
    }
    assert head == head_tensor_names({}, head | other, facts("distilbert"))


def test_prompt_types_save_heads_without_the_second_prefix(tmp_path: Path) -> None:
    """The head of a prompt-tuned classifier is found where PEFT puts it."""
    config, tensors = files("peft/bert/SEQ_CLS")
    renamed = {key.replace("base_model.model.", "base_model."): tensors[key] for key in tensors}
    head = read(config, renamed, tmp_path)
    assert head is not None
    assert head.spec.settings.use_pooler


def test_label_names_come_from_the_task(tmp_path: Path) -> None:
    """PEFT stores none, so they are LABEL_i unless the task names them."""
    config, tensors = files("peft/bert/TOKEN_CLS")
    named = read(config, tensors, tmp_path, labels=("A", "B", "C"))
    assert named is not None
    assert ("A", "B", "C") == named.spec.labels
    default = read(config, tensors, tmp_path)
    assert default is not None
    assert ("LABEL_0", "LABEL_1", "LABEL_2") == default.spec.labels


def test_answering_heads_get_no_token_types_unless_asked(tmp_path: Path) -> None:
    """PEFT's answering model never hands token types on; an option brings them back."""
    config, tensors = files("peft/bert/QUESTION_ANS")
    head = read(config, tensors, tmp_path)
    asked = read(config, tensors, tmp_path, options={"token_types": True})
    assert head is not None
    assert asked is not None
    assert [False, True] == [head.spec.settings.reads_types, asked.spec.settings.reads_types]
    assert head.spec.digest != asked.spec.digest


@pytest.mark.parametrize(
    ("name", "lost"),
    (
        ("peft/bert/SEQ_CLS", "classifier"),
        ("peft/distilbert/SEQ_CLS", "pre_classifier"),
        ("peft/electra/choice", "sequence_summary.summary"),
    ),
)
def test_a_head_that_was_never_saved_is_refused(name: str, lost: str, tmp_path: Path) -> None:
    """Part of a head that PEFT left out was random, and is lost."""
    config, tensors = files(name)
    kept = {
        key: value for key, value in tensors.items() if not key.split("model.")[-1].startswith(lost)
    }
    with pytest.raises(RejectedAdapter, match=f"missing_head.*{lost}"):
        read(config, kept, tmp_path, CASES[name]["model_type"])


def test_adapters_for_other_task_types_have_no_head(tmp_path: Path) -> None:
    """Feature extraction saves no classifier and needs none."""
    config, _ = files("peft/bert/SEQ_CLS")
    config["task_type"] = "FEATURE_EXTRACTION"
    assert read(config, {"base_model.model.x.lora_A.weight": values("x", [2, 2])}, tmp_path) is None


def test_a_classifier_of_unknown_class_is_refused(tmp_path: Path) -> None:
    """Without task type and class nobody can say whether it reads tokens or texts."""
    config, tensors = files("peft/bert/SEQ_CLS")
    config["task_type"] = None
    with pytest.raises(RejectedAdapter, match="unknown_head_class"):
        read(config, tensors, tmp_path)


def test_a_recorded_class_must_be_the_backbones(tmp_path: Path) -> None:
    """A head of a RoBERTa class does not fit BERT, whatever its shapes."""
    config, tensors = files("peft/roberta/choice")
    with pytest.raises(RejectedAdapter, match="wrong_model_type"):
        read(config, tensors, tmp_path)
