"""Converting: what is written means what was read, or nothing is written."""

from __future__ import annotations

import json

import pytest
import torch

from adapter_runtime import RejectedAdapter, SettingsError, SourceError
from adapter_runtime.checkpoint.reader import read_adapter
from adapter_runtime.facade.conversion import convert_checkpoint
from adapter_runtime.sources.folder import Folder
from tests.checkpoint.editing import HUB, PEFT, Broken
from tests.goldens import replay
from tests.methods import golden

LEGACY = "bert/legacy_first_format"
OLD_LORA = "bert/legacy_lora_1_0"


@pytest.fixture(scope="module")
def backbone():
    """The golden backbone's folder."""
    return str(replay.saved_backbone("bert"))


def converted(path, folder, form, backbone, **options):
    """A golden checkpoint in another form, and the adapter that it now holds."""
    source = golden.folder_of(path).root
    names = convert_checkpoint(str(source), folder, form, backbone, options)
    assert sorted(path.name for path in folder.iterdir()) == list(names)
    return read_adapter(Folder(folder, "converted"), golden.backbone("bert").facts, {})


@pytest.mark.parametrize("path", (HUB, LEGACY, OLD_LORA, "bert/union"))
def test_old_checkpoints_become_current_ones_without_quirks(path, tmp_path, backbone):
    """Names, activations and scales are those that the current library reads as trained."""
    adapter = converted(path, tmp_path / "new", "adapterhub", backbone)
    assert json.loads((tmp_path / "new" / "adapter_config.json").read_text())["version"]
    assert {note.code for note in adapter.notes} <= {"other_backbone_name"}


@pytest.mark.parametrize("path", (HUB, LEGACY, PEFT))
def test_pickles_become_safetensors(path, tmp_path, backbone):
    """Every weight file is one that cannot hold code, and the adapter stays what it was."""
    adapter = converted(path, tmp_path / "safe", "safetensors", backbone)
    assert not list((tmp_path / "safe").glob("*.bin"))
    before = golden.adapter("bert", path)
    for part, other in zip(before.parts, adapter.parts, strict=True):
        assert all(torch.equal(part.tensors[name], other.tensors[name]) for name in part.tensors)


def test_peft_becomes_adapterhub_where_it_can_say_the_same(tmp_path, backbone):
    """LoRA on the linears that AdapterHub's configuration can name."""
    adapter = converted("bert/peft_lora_rslora", tmp_path / "hub", "adapterhub", backbone)
    assert adapter.format == "adapterhub"
    assert adapter.methods == ("lora",)


def test_what_a_form_cannot_say_is_refused_and_leaves_nothing(tmp_path, backbone):
    """AdapterHub has no place for changed biases."""
    with pytest.raises(RejectedAdapter, match="AdapterHub's format cannot hold"):
        converted("bert/peft_lora_bias_all", tmp_path / "hub", "adapterhub", backbone)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ("adapterhub", "safetensors"))
def test_a_damaged_checkpoint_is_refused_and_leaves_nothing(form, tmp_path, backbone):
    """The reasons are the doctor's."""
    broken = Broken(HUB, tmp_path / "broken")
    broken.tensors(lambda tensors: tensors.popitem())
    with pytest.raises(RejectedAdapter, match="missing_tensor"):
        convert_checkpoint(str(broken.folder), tmp_path / "new", form, backbone)
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


def test_nothing_is_overwritten(tmp_path, backbone):
    """A folder with files in it is left alone."""
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(SettingsError, match="there already"):
        convert_checkpoint(str(golden.folder_of(HUB).root), tmp_path, "safetensors", backbone)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_unknown_forms_and_missing_sources_are_named(tmp_path, backbone):
    """One sentence each."""
    with pytest.raises(SettingsError, match="--to onnx"):
        convert_checkpoint("x", tmp_path / "new", "onnx", backbone)
    with pytest.raises(SourceError, match="no such folder"):
        convert_checkpoint(str(tmp_path / "nowhere"), tmp_path / "new", "adapterhub", backbone)
