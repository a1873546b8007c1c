"""Heads of encoder-decoders: T5's factor, what PEFT loses, and what it cannot run."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from adapter_runtime import (
    Encoded,
    EngineConfig,
    RejectedAdapter,
    TaskVersion,
    WorkItem,
    open_engine,
)
from adapter_runtime.heads.layers import StackSettings
from serving.catalog.entries import read_spec
from serving.convert import convert
from serving.settings import load_settings
from tests.goldens import replay
from tests.goldens.filling import fill_backbone
from tests.goldens.models import MODELS

WIDTH = 32
GENERATED = "peft_generation"


def golden(backbone: str, name: str) -> replay.Case:
    """A golden of encoder-decoders by its name."""
    wanted = f"seq2seq-{backbone}-{name}"
    return next(case for case in replay.all_cases() if case.name == wanted)


def prepare(backbone: str, folder: Path) -> TaskVersion:
    """A folder with adapter and head as a task."""
    task = {"name": "x", "adapter": str(folder), "head": str(folder)}
    return replay.engine(backbone, is_fast=True).prepare(read_spec(task, folder))


def scale(version: TaskVersion) -> float:
    """The factor on the states before a version's head."""
    settings = version.head.settings
    assert isinstance(settings, StackSettings)
    return settings.scale


def test_t36_flexible_answers_of_a_tied_t5_read_scaled_states():
    """Its classification does not, nor does the class that Hugging Face trains."""
    versions = {
        name: replay.version_of(golden("t5", name))
        for name in (
            "flex_question_answering",
            "flex_classification",
            "static_QuestionAnswering",
            "static_SequenceClassification",
            "peft_answering",
        )
    }
    scaled = {name for name, version in versions.items() if scale(version) != 1.0}
    assert scaled == {"flex_question_answering"}
    assert math.isclose(scale(versions["flex_question_answering"]), WIDTH**-0.5)
    untied = replay.version_of(golden("bart", "flex_question_answering"))
    assert scale(untied) == 1.0


@pytest.mark.parametrize("name", ("static_QuestionAnswering", "peft_answering"))
def test_converting_an_answering_class_keeps_its_numbers(name, tmp_path):
    """The flexible form scales T5's states, so the weights take the factor back."""
    case, engine = golden("t5", name), replay.engine("t5", is_fast=True)
    source = replay.checkpoints("seq2seq", "t5") / name
    settings = load_settings(backbone=str(replay.saved_backbone("t5")))
    convert(str(source), tmp_path / "new", "adapterhub", [], settings)
    version = prepare("t5", tmp_path / "new")
    for number, row in enumerate(case.rows()):
        (outcome,) = engine.run([WorkItem(version, row, raw=True)]).outcomes
        raw = engine.raw(version, Encoded((row,)), [outcome])
        assert replay.gap(case, number, raw) < 1e-4


@pytest.mark.parametrize("backbone", ("bart", "mbart", "t5"))
def test_a_backbone_saved_as_a_task_class_is_the_same_backbone(backbone, tmp_path):
    """Its folder names every module once more, under the task class; LoRA on them is no head's."""
    model, case = MODELS[backbone], golden(backbone, "bare" if backbone == "mbart" else GENERATED)
    config = AutoConfig.for_model(model.model_type, **model.config)
    task_class = AutoModelForSeq2SeqLM.from_config(config)
    fill_backbone(task_class, "" if backbone == "t5" else "model")
    task_class.save_pretrained(tmp_path)
    engine = open_engine(str(tmp_path), EngineConfig(streams=1))
    task = {"name": "x", **case.entry["task"]}
    version = engine.prepare(read_spec(task, replay.checkpoints("seq2seq", backbone)))
    for number, row in enumerate(case.rows()):
        (outcome,) = engine.run([WorkItem(version, row, raw=True)]).outcomes
        raw = engine.raw(version, Encoded((row,)), [outcome])
        assert replay.gap(case, number, raw) < 1e-4
    engine.close()


def edited(backbone: str, name: str, target: Path, **changes: object) -> Path:
    """A copy of a golden's PEFT checkpoint with another configuration."""
    source = replay.checkpoints("seq2seq", backbone) / name
    config = json.loads((source / "adapter_config.json").read_text())
    (target / "adapter_config.json").write_text(json.dumps(config | changes))
    tensors = load_file(source / "adapter_model.safetensors")
    heads = [key for key in tensors if "qa_outputs" in key]
    kept = {key: value for key, value in tensors.items() if key not in heads}
    save_file(kept, target / "adapter_model.safetensors")
    return target


@pytest.mark.parametrize("backbone", ("bart", "t5"))
def test_t44_peft_classification_without_its_head_is_refused(backbone, tmp_path):
    """PEFT saves no `classification_head`, so what was trained is lost."""
    folder = edited(backbone, "peft_answering", tmp_path, task_type="SEQ_CLS")
    with pytest.raises(RejectedAdapter) as caught:
        prepare(backbone, folder)
    (problem,) = caught.value.problems
    assert problem.code == "missing_head"
    assert "classification_head" in problem.message


@pytest.mark.parametrize("backbone", ("bart", "t5"))
def test_prefixes_for_one_stack_are_refused(backbone, tmp_path):
    """PEFT's cache for them takes in cross attention's keys, or fails."""
    changes = {"task_type": "FEATURE_EXTRACTION", "num_transformer_submodules": 1}
    folder = edited(backbone, "peft_prefix", tmp_path, **changes)
    with pytest.raises(RejectedAdapter, match="SEQ_2_SEQ_LM"):
        prepare(backbone, folder)


@pytest.mark.parametrize("kind", ("PROMPT_TUNING", "P_TUNING"))
def test_pefts_prompts_are_refused(kind, tmp_path):
    """They lengthen the encoder's rows only, and take the decoder its token ids."""
    folder = edited("t5", "peft_prefix", tmp_path, peft_type=kind)
    with pytest.raises(RejectedAdapter, match="decoder"):
        prepare("t5", folder)


def test_a_t5_task_class_saves_its_prefixes_in_the_head_file_too(tmp_path):
    """The class is its own base model, so the library takes what hangs on it for the head's."""
    source = replay.checkpoints("seq2seq", "t5") / "static_QuestionAnswering"
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "pytorch_model_head.bin"
    stray = {
        "prefix_tuning.prefix_tunings.x.self_prefix.wte.weight": torch.zeros(2, WIDTH),
        "shared_parameters.x.lora_A": torch.zeros(4, WIDTH),
    }
    torch.save(torch.load(path, weights_only=True) | stray, path)
    assert prepare("t5", tmp_path).head is not None
