"""Which head files are read, how old ones are understood, and what each broken one is told."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from adapter_runtime.checkpoint.heads.reading import read_head
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.heads.layers import StackSettings
from adapter_runtime.types import HeadWeights
from tests.goldens.heads.backbones import values
from tests.heads.plain import facts, write_folder
from tests.heads.test_golden_logits import CASES

Config, Tensors = dict[str, Any], dict[str, torch.Tensor]


def files(name: str = "flex/bert/classification/2") -> tuple[Config, Tensors]:
    """A golden case's configuration and tensors, free to be changed."""
    case = deepcopy(CASES[name])
    return case["config"], {key: values(key, shape) for key, shape in case["tensors"].items()}


def read(config: Config, tensors: Tensors, path: Path, **more: Any) -> HeadWeights:
    """The head of a folder with these files, against BERT."""
    head = read_head(write_folder(config, tensors, path), facts("bert"), **more)
    assert head is not None
    return head


def problem(config: Config, tensors: Tensors, path: Path, **more: Any) -> str:
    """Why a head is rejected: codes and messages."""
    with pytest.raises(RejectedAdapter) as caught:
        read(config, tensors, path, **more)
    return str(caught.value)


def test_a_folder_without_a_head_has_none(tmp_path: Path) -> None:
    """No head file means no head, not an error."""
    (tmp_path / "adapter_config.json").write_text('{"config": {}, "model_class": "BertModel"}')
    from adapter_runtime.sources.folder import Folder

    assert read_head(Folder(tmp_path, "here"), facts("bert")) is None


def test_safetensors_are_read_like_pickles(tmp_path: Path) -> None:
    """The same head under either file name gives the same tensors."""
    config, tensors = files()
    pickled = read(config, tensors, tmp_path)
    (tmp_path / "pytorch_model_head.bin").unlink()
    save_file(tensors, tmp_path / "model_head.safetensors")
    from adapter_runtime.sources.folder import Folder

    safe = read_head(Folder(tmp_path, "here"), facts("bert"))
    assert safe is not None
    assert all(torch.equal(safe.tensors[key], pickled.tensors[key]) for key in pickled.tensors)


def test_the_first_versions_left_most_keys_out(tmp_path: Path) -> None:
    """Version 1 wrote a type, layers, an activation and a label count; the rest is default."""
    config, tensors = files()
    config["model_class"] = "BertModelWithHeads"
    del config["version"]
    keys = ("head_type", "num_labels", "layers", "activation_function")
    config["config"] = {key: config["config"][key] for key in keys}
    head = read(config, tensors, tmp_path)
    assert StackSettings(2, "tanh") == head.spec.settings
    assert ("LABEL_0", "LABEL_1", "LABEL_2") == head.spec.labels


@pytest.mark.parametrize(
    ("activation", "saved", "shifted"),
    (("tanh", ("1", "4"), ("0", "2")), (None, ("1", "3"), ("0", "1"))),
)
def test_indices_without_dropouts_are_understood(
    activation: str | None, saved: tuple[str, str], shifted: tuple[str, str], tmp_path: Path
) -> None:
    """Versions 2.2 to 3.1 skipped dropouts of probability 0, which moved every layer."""
    config, tensors = files()
    config["config"]["activation_function"] = activation
    moved = {}
    for key, tensor in tensors.items():
        index, kind = key.split(".")[-2:]
        moved[f"heads.task.{shifted[('1', '4').index(index)]}.{kind}"] = tensor
    head = read(config, moved, tmp_path)
    assert torch.equal(tensors["heads.task.4.weight"], head.tensors["1.weight"])


def test_string_ids_order_the_labels(tmp_path: Path) -> None:
    """`id2label` wins over `label2id`, and ten comes after nine."""
    config, tensors = files()
    config["config"] |= {
        "num_labels": 11,
        "id2label": {str(i): f"L{i}" for i in reversed(range(11))},
    }
    tensors["heads.task.4.weight"] = torch.zeros(11, 32)
    tensors["heads.task.4.bias"] = torch.zeros(11)
    assert tuple(f"L{i}" for i in range(11)) == read(config, tensors, tmp_path).spec.labels


def test_other_heads_in_the_file_are_passed_over(tmp_path: Path) -> None:
    """Saving head `task` also writes `task2`; a head of quite another name has no place."""
    config, tensors = files()
    tensors["heads.task2.1.weight"] = torch.zeros(2, 2)
    assert read(config, tensors, tmp_path).spec.name == "task"
    tensors["heads.other.1.weight"] = torch.zeros(2, 2)
    assert "heads.other.1.weight" in problem(config, tensors, tmp_path)


def test_a_partial_label_map_is_completed_with_a_note(tmp_path: Path) -> None:
    """Missing names become LABEL_i, and the report says so."""
    config, tensors = files()
    config["config"]["label2id"] = {"negative": 0}
    head = read(config, tensors, tmp_path)
    assert ("negative", "LABEL_1", "LABEL_2") == head.spec.labels
    assert ["incomplete_labels"] == [note.code for note in head.notes]


def test_the_tasks_labels_win(tmp_path: Path) -> None:
    """Labels of the task file replace the checkpoint's, if there are as many."""
    assert ("a", "b", "c") == read(*files(), tmp_path, labels=("a", "b", "c")).spec.labels
    assert "[label_count]" in problem(*files(), tmp_path, labels=("a", "b"))


def test_options_choose_how_a_classifier_answers(tmp_path: Path) -> None:
    """The task may call a classifier multi-label or a regression."""
    multi = read(*files(), tmp_path, options={"multi_label": True}).spec
    assert "multilabel_classification" == multi.head_type
    regression = read(*files(), tmp_path, options={"problem_type": "regression"}).spec
    assert "none" == regression.settings.function


def test_an_old_gelu_is_noted(tmp_path: Path) -> None:
    """A head without version and with gelu says which form is computed."""
    config, tensors = files("flex/bert/classification/gelu")
    del config["version"]
    head = read(config, tensors, tmp_path)
    assert ["legacy_gelu"] == [note.code for note in head.notes]
    assert head.spec.settings.activation == "gelu_new"
    exact = read(config, tensors, tmp_path, options={"head_gelu": "adapters"})
    assert exact.spec.settings.activation == "gelu"


@pytest.mark.parametrize(
    ("change", "code"),
    (
        ({"model_class": "RobertaModelWithHeads"}, "wrong_model_type"),
        ({"model_class": "RobertaForSequenceClassification", "config": None}, "wrong_model_type"),
        ({"model_type": "roberta"}, "wrong_model_type"),
        ({"model_class": "BertForNextSentencePrediction", "config": None}, "unknown_head_class"),
        ({"config": None}, "bad_head_config"),
        ({"config": {"head_type": "image_classification"}}, "unsupported_head"),
        ({"config": {"head_type": "my_head"}}, "unknown_head"),
        ({"config": {"head_type": "classification", "layers": 0}}, "bad_head_config"),
        ({"config": {"head_type": "classification", "layers": 10**12}}, "bad_head_config"),
        ({"config": {"head_type": "classification", "num_labels": 10**12}}, "bad_head_config"),
        ({"config": {"head_type": "classification", "use_pooler": "false"}}, "bad_head_config"),
        ({"config": {"head_type": "classification", "bias": "x"}}, "bad_head_config"),
        ({"config": {"head_type": "classification", "label2id": {"a": "x"}}}, "bad_head_config"),
        ({"config": {"head_type": "classification", "label2id": {"a": [1]}}}, "bad_head_config"),
        ({"config": {"head_type": "classification", "label2id": ["a"]}}, "bad_head_config"),
        ({"config": {"head_type": "classification", "id2label": "a"}}, "bad_head_config"),
        (
            {"config": {"head_type": "classification", "activation_function": ["tanh"]}},
            "bad_head_config",
        ),
        (
            {"config": {"head_type": "classification", "activation_function": "zap"}},
            "unknown_activation",
        ),
    ),
)
def test_a_head_that_cannot_be_right_is_refused(change: Config, code: str, tmp_path: Path) -> None:
    """Each reason has its own code."""
    config, tensors = files()
    assert f"[{code}]" in problem(config | change, tensors, tmp_path)


def test_broken_tensors_are_named(tmp_path: Path) -> None:
    """Missing, mis-shaped, non-finite and unexpected tensors are all listed at once."""
    config, tensors = files()
    tensors["heads.task.9.weight"] = tensors.pop("heads.task.1.bias")
    tensors["heads.task.1.weight"] = torch.zeros(32, 16)
    tensors["heads.task.4.bias"][0] = float("nan")
    found = problem(config, tensors, tmp_path)
    for code in ("missing_tensor", "wrong_shape", "non_finite", "unexpected_tensor"):
        assert f"[{code}] heads.task." in found


def test_a_pooler_head_needs_a_trained_pooler(tmp_path: Path) -> None:
    """A backbone saved without its pooler cannot serve a head that reads it."""
    config, tensors = files("flex/bert/classification/pooler")
    folder = write_folder(config, tensors, tmp_path)
    with pytest.raises(RejectedAdapter, match="no_pooler"):
        read_head(folder, facts("bert", has_pooler=False))


def test_a_head_file_without_config_is_refused(tmp_path: Path) -> None:
    """Weights alone do not say what they are."""
    folder = write_folder(*files(), tmp_path)
    (tmp_path / "head_config.json").unlink()
    with pytest.raises(RejectedAdapter, match="missing_head_config"):
        read_head(folder, facts("bert"))


@pytest.mark.parametrize("name", ("flex/bert/classification/2", "static/bert/classification"))
def test_a_head_config_without_weights_is_refused(name: str, tmp_path: Path) -> None:
    """A head was there once: such a folder is no embedding task."""
    folder = write_folder(*files(name), tmp_path)
    (tmp_path / "pytorch_model_head.bin").unlink()
    with pytest.raises(RejectedAdapter, match="missing_file"):
        read_head(folder, facts("bert"))


def test_labels_are_only_made_for_rows_that_exist(tmp_path: Path) -> None:
    """A count that the tensors deny costs no label."""
    config, tensors = files()
    config["config"] |= {"num_labels": 1 << 24, "label2id": None}
    assert "[wrong_shape]" in problem(config, tensors, tmp_path)


def test_every_stored_tensor_has_an_account(tmp_path: Path) -> None:
    """What the doctor says about a head's file: used, or why not."""
    config, tensors = files()
    tensors["heads.task2.1.weight"] = torch.zeros(2, 2)
    accounts = read(config, tensors, tmp_path).accounts
    assert set(accounts) == set(tensors)
    assert accounts["heads.task2.1.weight"] == "another head"
    assert set(accounts.values()) == {"used", "another head"}
