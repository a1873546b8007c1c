"""Converting: what is written means what was read, or nothing is written."""

from __future__ import annotations

import json

import pytest
import torch

from adapter_runtime import RejectedAdapter, SettingsError, SourceError
from adapter_runtime.checkpoint.hub.fusions import read_fusion_layer
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


@pytest.mark.parametrize("form", ("adapterhub", "safetensors"))
@pytest.mark.parametrize("name", ("fusion_dynamic", "fusion_hot", "fusion_with_head"))
def test_fusion_layers_are_converted_with_their_heads(form, name, tmp_path, backbone):
    """What mixes adapters is a checkpoint like any other."""
    source = replay.checkpoints("composition", "bert") / name
    convert_checkpoint(str(source), tmp_path / "new", form, backbone)
    folders = Folder(source, "old"), Folder(tmp_path / "new", "new")
    before, after = (read_fusion_layer(each, golden.backbone("bert").facts, {}) for each in folders)
    for part, other in zip(before.parts, after.parts, strict=True):
        assert part.settings == other.settings
        assert all(torch.equal(part.tensors[key], other.tensors[key]) for key in part.tensors)
    assert folders[0].has("head_config.json") == folders[1].has("head_config.json")


def test_the_temperature_that_the_user_knows_is_folded_into_the_queries(tmp_path, backbone):
    """The current format has no place for any other than the library's first."""
    source = replay.checkpoints("composition", "bert") / "fusion_hot"
    options = {"fusion_temperature": 4.0}
    convert_checkpoint(str(source), tmp_path / "new", "adapterhub", backbone, options)
    facts = golden.backbone("bert").facts
    before = read_fusion_layer(Folder(source, "old"), facts, options)
    after = read_fusion_layer(Folder(tmp_path / "new", "new"), facts, {})
    assert not after.notes
    for part, other in zip(before.parts, after.parts, strict=True):
        assert other.settings.temperature == 1.0
        query = part.tensors["query_weight"]
        assert torch.allclose(query, other.tensors["query_weight"] * 4.0)


def test_interfaces_of_a_users_own_go_along(tmp_path, backbone):
    """Without it the tensors' names would mean nothing."""
    source = replay.checkpoints("hub_methods", "bert") / "hooked_seq_bn"
    convert_checkpoint(str(source), tmp_path / "new", "safetensors", backbone)
    assert (tmp_path / "new" / "adapter_interface.json").exists()


def test_heads_that_the_library_keeps_in_task_classes_stay_as_they_are(tmp_path):
    """It has no flexible head for ModernBERT; its current form is the class's own."""
    source = replay.checkpoints("encoders", "modernbert") / "static_tagging"
    backbone = str(replay.saved_backbone("modernbert"))
    names = convert_checkpoint(str(source), tmp_path / "new", "adapterhub", backbone)
    assert "head_config.json" in names


def test_heads_that_the_library_has_not_are_refused(tmp_path):
    """Rejected with a reason, as everything that cannot be said."""
    source = replay.checkpoints("encoders", "modernbert") / "peft_token_cls"
    backbone = str(replay.saved_backbone("modernbert"))
    with pytest.raises(RejectedAdapter, match="has no such tagging head"):
        convert_checkpoint(str(source), tmp_path / "new", "adapterhub", backbone)


@pytest.mark.parametrize(
    ("path", "options", "reason"),
    (
        ("peft/bert/answering", {}, "takes no token types"),
        ("heads/bert/inverse-static", {"mlm_inverse": False}, "mlm_inverse is false"),
    ),
)
def test_heads_that_would_mean_something_else_are_refused(
    path, options, reason, tmp_path, backbone
):
    """What the library would compute from the file differs, so there is no file."""
    group, model, name = path.split("/")
    source = replay.checkpoints(group, model) / name
    with pytest.raises(RejectedAdapter, match=reason):
        convert_checkpoint(str(source), tmp_path / "new", "adapterhub", backbone, options)


def test_a_vocabulary_of_its_own_is_left_in_the_form_that_it_has(tmp_path, backbone):
    """Written anew it would go into the backbone's embeddings when the library loads it."""
    source = replay.checkpoints("heads", "bert") / "masked-private"
    convert_checkpoint(str(source), tmp_path / "new", "adapterhub", backbone)
    name = "head_config.json"
    assert (tmp_path / "new" / name).read_text() == (source / name).read_text()


@pytest.mark.parametrize(("folder", "name"), (("my.lora", "my_lora"), ("half", "half_")))
def test_names_become_ones_that_the_library_can_keep(folder, name, tmp_path, backbone):
    """A PEFT adapter has only its folder's name; to the library it is a module's."""
    broken = Broken("bert/peft_seq_cls_lora", tmp_path / folder)
    convert_checkpoint(str(broken.folder), tmp_path / "new", "adapterhub", backbone)
    for file in ("adapter_config.json", "head_config.json"):
        assert json.loads((tmp_path / "new" / file).read_text())["name"] == name
    tensors = torch.load(tmp_path / "new" / "pytorch_adapter.bin", weights_only=True)
    assert all(f".loras.{name}." in key for key in tensors)


def test_a_target_that_cannot_be_made_is_told_so(tmp_path, backbone):
    """Its parent is a file."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(SettingsError, match="name another folder"):
        convert_checkpoint(
            str(golden.folder_of(HUB).root), tmp_path / "file" / "new", "safetensors", backbone
        )
