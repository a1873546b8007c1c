"""What is written is read back with the same meaning, and by the library that owns the format."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
import torch

from adapter_runtime.checkpoint.hub.writer import WEIGHTS_FILE, new_adapter, write_adapter
from adapter_runtime.checkpoint.reader import read_adapter
from adapter_runtime.engine.forward import BatchRunner, Job
from adapter_runtime.engine.reference import ReferenceRouter
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.methods.table import METHODS
from adapter_runtime.residency.slots import SlotPool
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Leaf
from tests.engine_forward.collect import Collect, largest_gap
from tests.goldens import replay
from tests.methods import golden

TOLERANCE = 1e-5  # fp32
LIBRARY_TOLERANCE = 2e-5  # fp32; the contract is 1e-4
WRITABLE = [
    (model_type, case["name"])
    for model_type, cases in golden.CASES.items()
    for case in cases
    if "folder" in case and not case["name"].startswith("peft_")
]
CONVERTIBLE = ("peft_lora", "peft_lora_rslora", "peft_lora_layers", "peft_token_cls_lora")


def states(backbone, adapter):
    """Final states of the golden rows under one adapter."""
    slots = SlotPool(METHODS, backbone.bases, backbone.device, backbone.dtype)
    router = ReferenceRouter({adapter.digest: adapter}.__getitem__, METHODS)
    found = Collect()
    jobs = [Job(row, Leaf(adapter.digest)) for row in golden.rows(backbone.facts.model_type)]
    report = BatchRunner(backbone, slots, 1, router).run(jobs, found)
    assert not report.errors
    return found.states


def write_and_read(model_type, adapter, folder, name=None):
    facts = golden.backbone(model_type).facts
    write_adapter(adapter, folder, facts, name)
    return read_adapter(Folder(folder, "written"), facts, {})


@pytest.mark.parametrize(("model_type", "name"), WRITABLE)
def test_written_parts_are_the_parts_read(model_type, name, tmp_path):
    """Writing keeps every point, setting and number, and undoes old versions' quirks for good."""
    (adapter,) = golden.adapters(model_type, name)
    again = write_and_read(model_type, adapter, tmp_path, "renamed")
    assert again.name == "renamed"
    assert [(p.method, p.point) for p in again.parts] == [
        (p.method, p.point) for p in adapter.parts
    ]
    for ours, theirs in zip(again.parts, adapter.parts, strict=True):
        assert ours.settings == theirs.settings
        assert all(torch.equal(ours.tensors[key], theirs.tensors[key]) for key in theirs.tensors)


@pytest.mark.parametrize("model_type", ("bert", "distilbert"))
@pytest.mark.parametrize("name", (*CONVERTIBLE, "peft_lora_patterns"))
def test_peft_lora_is_converted_with_equal_answers(model_type, name, tmp_path):
    """Ranks are padded and scales folded; what AdapterHub cannot place is refused."""
    (adapter,) = golden.adapters(model_type, name)
    if name == "peft_lora_patterns":
        with pytest.raises(RejectedAdapter, match="attention_out"):
            write_and_read(model_type, adapter, tmp_path)
        return
    again = write_and_read(model_type, adapter, tmp_path, "converted")
    backbone = golden.backbone(model_type)
    before, after = states(backbone, adapter), states(backbone, again)
    assert max(largest_gap(before[row], after[row]) for row in before) < TOLERANCE


@pytest.mark.parametrize("name", ("peft_lora_bias_all", "peft_ia3", "peft_lora_bias"))
def test_what_adapterhub_cannot_say_is_refused(name, tmp_path):
    """Biases and scaled inputs have no counterpart; the reason is named."""
    (adapter,) = golden.adapters("bert", name)
    with pytest.raises(RejectedAdapter) as caught:
        write_and_read("bert", adapter, tmp_path)
    assert [note.code for note in caught.value.problems] == ["not_expressible"]


@pytest.mark.parametrize("config", ("pfeiffer", "double_seq_bn", "par_bn", "lora", "ia3"))
def test_new_adapters_start_near_the_identity(config):
    """A new adapter changes the bare backbone's answer by little, or not at all."""
    backbone = golden.backbone("bert")
    adapter = new_adapter("new", config, backbone.facts, torch.Generator().manual_seed(3))
    if config in ("lora", "ia3"):
        bare = new_adapter("bare", "lora", backbone.facts)
        before, after = states(backbone, bare), states(backbone, adapter)
        assert max(largest_gap(before[row], after[row]) for row in before) < TOLERANCE
    for part in adapter.parts:
        start = part.tensors.get("up", part.tensors.get("up_weight", torch.zeros(1)))
        assert float(start.abs().max()) < 0.2


def test_new_adapters_of_one_seed_are_equal():
    """The generator decides the numbers, and the numbers the digest."""
    facts = golden.backbone("bert").facts
    make = [
        new_adapter("a", "seq_bn|lora", facts, torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]
    assert make[0].digest == make[1].digest != make[2].digest


@pytest.mark.parametrize(
    "config", ("no_such", "compacter", "lora[r=0]", "lora[rank=4]", "mam[r=3]")
)
def test_new_adapters_that_cannot_be_are_refused(config):
    """An unknown or impossible configuration names its reason."""
    with pytest.raises(RejectedAdapter):
        new_adapter("a", config, golden.backbone("bert").facts)


def test_written_config_says_what_the_library_expects(tmp_path):
    """The fields and version that `adapters` looks at are there."""
    adapter = new_adapter("fresh", "houlsby", golden.backbone("roberta").facts)
    write_and_read("roberta", adapter, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["version"] == "adapters.1.3.0"
    assert (config["model_type"], config["hidden_size"]) == ("roberta", 32)
    assert config["model_class"] == "RobertaAdapterModel"


with np.load(golden.HERE / "written.npz") as stored:
    LIBRARY = dict(stored)
WRITTEN = sorted({key.rpartition("/")[0] for key in LIBRARY})


@pytest.mark.parametrize("path", WRITTEN)
def test_the_library_computes_the_same_from_what_is_written(path, tmp_path):
    """`adapters` loaded these bytes without a missing key and gives our own answers."""
    model_type, _, name = path.partition("/")
    (adapter,) = golden.adapters(model_type, name)
    found = states(golden.backbone(model_type), adapter)
    for row, ours in found.items():
        theirs = torch.from_numpy(LIBRARY[f"{path}/hidden{row}"])
        assert largest_gap(ours, theirs) < LIBRARY_TOLERANCE
    write_adapter(adapter, tmp_path, golden.backbone(model_type).facts, "written")
    with zipfile.ZipFile(golden.HERE / "written.zip") as archive:
        before = torch.load(archive.open(f"{path}/{WEIGHTS_FILE}"), weights_only=True)
    after = torch.load(tmp_path / WEIGHTS_FILE, weights_only=True)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_shared_factors_of_another_width_are_refused():
    """VeRA shares one pair of factors, and Llama's values are narrower than its queries."""
    facts = replay.engine("llama").backbone.facts
    with pytest.raises(RejectedAdapter, match="VeRA shares factors"):
        new_adapter("v", "vera", facts)
