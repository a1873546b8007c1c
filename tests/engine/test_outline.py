import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adapter_runtime import Kind, Leaf, Limits, RejectedAdapter, SourceError, Stack, TaskSpec
from adapter_runtime.reports import Outline
from adapter_runtime.types import Average, Merge
from tests.engine.workshop import write_task


def folder(spec):
    """Where a task's files lie."""
    return Path(spec.adapter.ref)


def edit(spec, file, changes):
    """Other values in one of a task's configs."""
    path = folder(spec) / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_an_outline_says_what_the_version_will_be(opened, tasks):
    """Kind and labels are there before any weight is read; a task's own words win."""
    engine = opened()
    specs = (
        tasks[0],
        replace(tasks[0], labels=("a", "b")),
        replace(tasks[0], kind=Kind.FEATURE_EXTRACTION),
        replace(tasks[0], adapter=None, head=tasks[1].adapter.ref),
        TaskSpec("stack", adapter=Stack(tuple(spec.adapter for spec in tasks))),
        TaskSpec("bare"),
    )
    for spec in specs:
        found, version = engine.outline(spec), engine.read(spec)
        assert found == Outline(version.kind, version.labels, is_here=True)


def test_an_outline_reads_configs_alone(opened, tasks):
    """Weights that are damaged are found when they are read."""
    engine = opened()
    for name in ("pytorch_adapter.bin", "pytorch_model_head.bin"):
        (folder(tasks[0]) / name).write_bytes(b"damaged")
    assert engine.outline(tasks[0]).labels == ("no", "yes")
    with pytest.raises(RejectedAdapter):
        engine.read(tasks[0])
    assert len(engine.library) == 0


WRONG = (
    ("adapter_config.json", {"hidden_size": 64}, "wrong_backbone"),
    ("adapter_config.json", {"model_type": "roberta"}, "wrong_backbone"),
    ("adapter_config.json", {"name": ""}, "bad_config"),
    ("adapter_config.json", {"config": {"architecture": "hyperformer"}}, "unsupported_method"),
    ("head_config.json", {"model_type": "roberta"}, "wrong_model_type"),
    ("head_config.json", {"config": {"head_type": "image_classification"}}, "unsupported_head"),
    ("head_config.json", {"config": None}, "bad_head_config"),
)


@pytest.mark.parametrize(("name", "changes", "code"), WRONG)
def test_configs_that_cannot_serve_are_rejected_at_once(opened, tasks, name, changes, code):
    """With the reason that reading everything would give."""
    engine = opened()
    edit(tasks[0], name, changes)
    for ask in (engine.outline, engine.read):
        with pytest.raises(RejectedAdapter) as refused:
            ask(tasks[0])
        assert [note.code for note in refused.value.problems] == [code]


def settings(tasks):
    """Task entries that contradict their files, and the codes of it."""
    first, second = tasks[0].adapter, tasks[1].adapter
    nested = Stack((Merge(first.ref, second.ref), Average(Average(first, second), second)))
    return (
        (replace(tasks[0], kind=Kind.QUESTION_ANSWERING), "kind_mismatch"),
        (replace(tasks[0], limits=Limits(65)), "limit_out_of_range"),
        (replace(tasks[0], options={"lora_scaling": "none"}), "bad_option"),
        (TaskSpec("task", kind=Kind.TEXT_CLASSIFICATION), "missing_head"),
        (TaskSpec("task", adapter=nested), "unsupported_composition"),
    )


def test_entries_that_contradict_their_files_are_rejected_at_once(opened, tasks):
    """With the reason that reading everything would give."""
    engine = opened()
    for spec, code in settings(tasks):
        for ask in (engine.outline, engine.read):
            with pytest.raises(RejectedAdapter) as refused:
                ask(spec)
            assert [note.code for note in refused.value.problems] == [code]


@pytest.mark.parametrize("lost", ("adapter_config.json", "pytorch_adapter.bin", "head_config.json"))
def test_files_that_are_not_there_are_missed_at_once(opened, tasks, lost):
    """A folder is looked at, not only opened."""
    (folder(tasks[0]) / lost).unlink()
    with pytest.raises(RejectedAdapter):
        opened().outline(tasks[0])


def test_a_folder_that_is_not_there_is_a_fault_of_its_source(opened, tasks, tmp_path):
    """As when it is read."""
    with pytest.raises(SourceError, match="no such folder"):
        opened().outline(replace(tasks[0], head=str(tmp_path / "absent")))


def test_what_a_network_has_says_nothing_yet(opened, tasks, monkeypatch):
    """Neither when it is not here, nor when an old copy that is here could not serve."""
    engine = opened()
    remote = TaskSpec("remote", adapter=Leaf("s3://bucket/adapter"))
    assert engine.outline(remote) == Outline()
    assert engine.outline(replace(remote, kind=Kind.FILL_MASK, labels=("a",))) == Outline(
        Kind.FILL_MASK, ("a",)
    )
    at_hand = engine._at_hand
    monkeypatch.setattr(engine, "_at_hand", lambda _: at_hand(tasks[0].adapter.ref))
    assert engine.outline(remote) == Outline(Kind.TEXT_CLASSIFICATION, ("no", "yes"))
    edit(tasks[0], "adapter_config.json", {"hidden_size": 64})
    assert engine.outline(remote).kind in (None, Kind.TEXT_CLASSIFICATION)


def test_a_peft_classifier_is_counted_by_its_files_header(opened, tmp_path):
    """PEFT writes no label names down."""
    engine = opened()
    made = write_task(tmp_path / "x", engine.backbone.facts, torch.Generator())
    for path in made.iterdir():
        path.unlink()
    (made / "adapter_config.json").write_text('{"peft_type": "LORA", "task_type": "SEQ_CLS"}')
    header = {"base_model.model.classifier.weight": {"dtype": "F32", "shape": [3, 32]}}
    text = json.dumps(header).encode()
    (made / "adapter_model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    found = engine.outline(TaskSpec("x", adapter=Leaf(str(made))))
    labels = ("LABEL_0", "LABEL_1", "LABEL_2")
    assert found == Outline(Kind.TEXT_CLASSIFICATION, labels, is_here=True)
    (made / "adapter_model.safetensors").write_bytes(b"\xff" * 20)
    assert engine.outline(TaskSpec("x", adapter=Leaf(str(made)))).labels == ()
