"""Each broken kind of checkpoint is refused by name; nothing is guessed."""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict

import pytest
import torch

from adapter_runtime.checkpoint.reader import read_adapter, read_config_kind
from adapter_runtime.errors import RejectedAdapter, SourceError
from adapter_runtime.sources.folder import Folder
from tests.checkpoint.editing import HUB, PEFT, Broken
from tests.methods import golden

BOTH = pytest.mark.parametrize("path", (HUB, PEFT))


@pytest.fixture
def broken(tmp_path):
    """Makes broken copies."""
    return lambda path: Broken(path, tmp_path / path.replace("/", "-"))


def first(tensors):
    return next(iter(tensors))


@BOTH
def test_whole_checkpoints_are_accepted(broken, path):
    """The copy that every test below breaks is fine before it is broken."""
    assert broken(path).codes() == []


@BOTH
def test_missing_tensor_is_named(broken, path):
    """What the configuration promises must be there."""
    found = broken(path).tensors(lambda tensors: tensors.pop(first(tensors))).problems()
    assert [code for code, _ in found] == ["missing_tensor"]
    assert "shape [" in found[0][1]


@BOTH
def test_extra_tensor_is_named(broken, path):
    """What nobody uses must not be there."""
    extra = {"base_model.model.encoder.layer.7.lora_A.weight": torch.ones(3)}
    found = broken(path).tensors(lambda tensors: tensors.update(extra)).problems()
    assert [code for code, _ in found] == ["unexpected_tensor"]
    assert "layer.7" in found[0][1]


@BOTH
@pytest.mark.parametrize("value", (float("nan"), float("inf")))
def test_non_finite_numbers_are_found(broken, path, value):
    """One NaN is enough to reject."""
    change = lambda tensors: tensors[first(tensors)].flatten()[0].fill_(value)  # noqa: E731
    assert broken(path).tensors(change).codes() == ["non_finite"]


@BOTH
def test_wrong_shape_is_named_with_the_expected_one(broken, path):
    """A transposed tensor is not silently broadcast."""

    def transpose(tensors):
        tensors[first(tensors)] = tensors[first(tensors)].t().contiguous()

    found = broken(path).tensors(transpose).problems()
    assert [code for code, _ in found] == ["wrong_shape"]
    assert "expected [" in found[0][1]


@BOTH
def test_every_problem_is_listed_at_once(broken, path):
    """One report names what is missing, extra and not finite."""

    def spoil(tensors):
        names = list(tensors)
        tensors["stray"] = tensors.pop(names[0])
        tensors[names[1]][0] = float("nan")

    codes = broken(path).tensors(spoil).codes()
    assert sorted(codes) == ["missing_tensor", "non_finite", "unexpected_tensor"]


@pytest.mark.parametrize(
    ("path", "other"),
    (
        (HUB, "roberta"),
        ("roberta/seq_bn", "xlm-roberta"),
        (HUB, "mpnet"),
        ("bert/peft_seq_cls_lora", "electra"),
    ),
)
def test_another_family_is_the_wrong_backbone(broken, path, other):
    """Names and shapes may fit by chance; the family may not."""
    assert broken(path).codes(other)[0] == "wrong_backbone"


def test_another_width_is_the_wrong_backbone(broken):
    """Stated in AdapterHub files, seen from the shapes in PEFT files."""
    assert broken(HUB).config(hidden_size=768).codes() == ["wrong_backbone"]

    def widen(tensors):
        for name in [name for name in tensors if "lora_A" in name]:
            tensors[name] = torch.ones(4, 48)

    assert broken(PEFT).tensors(widen).codes()[0] == "wrong_backbone"


def test_formats_are_not_mixed(broken):
    """A configuration of one library beside the weights of the other is refused as such."""
    hub, peft = broken(HUB), broken(PEFT)
    hub_config, peft_config = (b.folder / "adapter_config.json" for b in (hub, peft))
    texts = hub_config.read_text(), peft_config.read_text()
    hub_config.write_text(texts[1])
    peft_config.write_text(texts[0])
    assert hub.codes() == ["mixed_formats"]
    assert peft.codes() == ["mixed_formats"]


@pytest.mark.parametrize("length", (0, 1, 100, 4000))
@BOTH
def test_truncated_files_are_unreadable(broken, path, length):
    """A download that broke off is named, with what to do."""
    copy = broken(path)
    copy.weights.write_bytes(copy.weights.read_bytes()[:length])
    found = copy.problems()
    assert [code for code, _ in found] == ["unreadable_file"]
    assert "again" in found[0][1]


@BOTH
@pytest.mark.parametrize("content", (b"garbage" * 500, b"\x80\x02}q\x00.", b"<html></html>"))
def test_garbage_is_unreadable(broken, path, content):
    """A page of an error, a foreign pickle: no tensors."""
    copy = broken(path)
    copy.weights.write_bytes(content)
    assert set(copy.codes()) <= {"unreadable_file", "missing_tensor"}
    assert copy.codes()


class Foreign:
    """What a pickle must not be able to bring to life."""


@pytest.mark.parametrize(
    "content", ({"w": Foreign()}, Foreign(), [torch.ones(2)], {"w": 1}, {3: 4})
)
def test_pickles_hold_named_tensors_only(broken, content):
    """Foreign classes are never loaded; other values are no checkpoint."""
    copy = broken(HUB)
    torch.save(content, copy.weights)
    assert copy.codes()[0] in ("unsafe_pickle", "unreadable_file")


def test_bare_pickles_are_not_run(broken):
    """A plain pickle with a call in it is refused before the call."""
    copy = broken(HUB)
    copy.weights.write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    assert copy.codes()[0] in ("unsafe_pickle", "unreadable_file")


def test_compressed_archives_are_not_unpacked(broken):
    """A zip bomb is refused before it is unpacked."""
    copy = broken(HUB)
    with zipfile.ZipFile(copy.weights, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 20))
    assert copy.codes() == ["unsafe_file"]


def test_declared_sizes_are_checked_before_use(broken):
    """A view of one number that claims gigabytes is refused."""
    copy = broken(HUB)
    torch.save({"w": torch.ones(1).expand(1 << 20, 1 << 20)}, copy.weights)
    assert copy.codes() == ["too_large"]
    torch.save({"w": torch.ones(9).to_sparse()}, copy.weights)
    assert copy.codes()[0] in ("unsafe_file", "unsafe_pickle")


def test_old_pickles_that_lie_about_sizes_are_refused(broken):
    """A file from before torch 1.6 states its sizes as integers."""
    copy = broken("bert/legacy_first_format")
    assert copy.codes() == []
    headers = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {})]
    huge = pickle.dumps(OrderedDict(size=1 << 50), 2)
    copy.weights.write_bytes(b"".join([*headers, huge]))
    assert copy.codes() == ["unsafe_file"]


def test_files_beyond_the_limit_are_not_read(broken):
    """The byte limit holds before anything is opened."""
    with pytest.raises(SourceError, match="limit"):
        broken(HUB).codes(max_bytes=3000)


def test_folders_without_an_adapter_say_what_they_hold(tmp_path):
    """A head alone, a setup, nothing at all."""
    folder = Folder(tmp_path, "folder")
    facts = golden.backbone("bert").facts
    assert read_config_kind(folder) is None
    for name, code in (
        (None, "not_an_adapter"),
        ("head_config.json", "head_only"),
        ("adapter_setup.json", "not_an_adapter"),
    ):
        if name:
            (tmp_path / name).write_text("{}")
        with pytest.raises(RejectedAdapter) as caught:
            read_adapter(folder, facts, {})
        assert caught.value.problems[0].code == code


@BOTH
def test_missing_weights_are_named(broken, path):
    """A configuration alone is no adapter."""
    copy = broken(path)
    copy.weights.unlink()
    assert copy.codes() == ["missing_file"]


@BOTH
@pytest.mark.parametrize("text", ("[]", "3", "null"))
def test_configurations_are_objects(broken, path, text):
    """Other JSON is refused."""
    copy = broken(path)
    (copy.folder / "adapter_config.json").write_text(text)
    assert copy.codes()[0] in ("bad_config", "mixed_formats")


def test_configurations_are_json(broken):
    """Anything else cannot be read."""
    copy = broken(HUB)
    (copy.folder / "adapter_config.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(SourceError, match="JSON"):
        copy.codes()


def test_unknown_option_values_are_refused(broken):
    """lora_scaling has two values."""
    assert broken(HUB).codes(lora_scaling="maybe") == ["bad_option"]
