"""The way of a batch on a CUDA device that is only pretended: every machine can run these."""

from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException

from adapter_runtime import EngineConfig, WorkItem, open_engine
from adapter_runtime.backbone import graphs
from adapter_runtime.backbone.routing import Layout, Routing
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.types import Row
from serving.catalog.entries import read_spec
from serving.settings import load_settings
from tests.goldens import replay
from tests.gpu.pretended import DEVICE, Crossings, Pretended

WAYS = (
    ("bert", "float32"),
    ("bert", "bfloat16"),
    ("llama", "bfloat16"),
    ("modernbert", "bfloat16"),
    ("bart", "bfloat16"),
    ("deberta", "bfloat16"),
)
RECORDED = (
    "bert",
    "roberta",
    "distilbert",
    "albert",
    "gpt2",
    "llama",
    "qwen3",
    "nomic",
    "modernbert",
)
MOST_CASES = 50


def mixed_batch(opened, backbone, *, is_bare=False):
    """One row of each of many golden cases."""
    cases = [case for case in replay.all_cases() if case.backbone == backbone]
    if is_bare:
        cases = [case for case in cases if not case.entry["task"].get("adapter")]
    items = []
    for case in cases[:: 1 + len(cases) // MOST_CASES]:
        name = f"{case.group}-{case.entry['name']}".replace("/", "-")
        task = {"name": name, **case.entry["task"]}
        version = opened.read(read_spec(task, replay.checkpoints(case.group, backbone)))
        items.append(WorkItem(version, case.rows()[0], raw=True))
    return items


@pytest.mark.parametrize(("backbone", "dtype"), WAYS)
def test_a_mixed_batch_leaves_its_device_only_for_answers(backbone, dtype, monkeypatch):
    """No product mixes devices, and no forward waits for the device or asks it for a number."""
    device = Pretended(monkeypatch)
    source = str(replay.saved_backbone(backbone))
    opened = open_engine(source, EngineConfig(dtype=dtype, device="cuda"))
    outcomes = opened.run(mixed_batch(opened, backbone)).outcomes
    assert [] == [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert [] == device.waits


class Recorder:
    """Runs what would be recorded, and notes the copies that a recording would repeat.

    Args:
        waits: where they are noted.
    """

    def __init__(self, waits):
        self.waits = waits
        self.outputs = []

    def __call__(self, function):
        with Crossings(self.waits, is_recorded=True):
            self.outputs.append(function())
        return SimpleNamespace(output=self.outputs[-1], replay=lambda: None)


@pytest.mark.parametrize("backbone", RECORDED)
def test_what_is_recorded_takes_nothing_from_the_host(backbone, monkeypatch):
    """Numbers of one batch would come again with every other; nor is the device asked for any."""
    device = Pretended(monkeypatch)
    source = str(replay.saved_backbone(backbone))
    opened = open_engine(source, EngineConfig(dtype="bfloat16", device="cuda"))
    monkeypatch.setattr(graphs, "_OFTEN", 1)
    record = Recorder(device.waits)
    rows = [Row((5, 6, 7)), Row((8,)), Row((9, 10, 11, 12))]
    routing = Routing(Layout.PACKED, RowSpans((0, 3, 4), (3, 1, 4), 8), {})
    with device.mode, torch.inference_mode():
        states = graphs.GraphedForward(opened.backbone, record)(rows, routing)
    width = opened.backbone.facts.hidden_size
    assert [(32, width)] == [tuple(output.shape) for output in record.outputs]
    assert (8, width) == tuple(states.shape)
    assert [] == device.waits


@pytest.mark.parametrize("is_on", (True, False))
def test_an_engine_records_small_batches_without_adapters_if_it_may(is_on, monkeypatch):
    """From the server's setting to the forward; a batch of tasks that have heads alone."""
    device = Pretended(monkeypatch)
    record = Recorder(device.waits)
    monkeypatch.setattr(graphs, "_OFTEN", 1)
    monkeypatch.setattr(graphs, "has_flash", lambda device: True)
    monkeypatch.setattr(graphs, "CudaRecorder", lambda device: record)
    settings = load_settings(device="cuda", dtype="bfloat16", cuda_graphs=is_on)
    opened = open_engine(str(replay.saved_backbone("bert")), settings.engine_config())
    bare, mixed = (mixed_batch(opened, "bert", is_bare=each)[:6] for each in (True, False))
    for items in (mixed, bare):
        outcomes = opened.run(items).outcomes
        assert [] == [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert is_on == (len(record.outputs) == 1)
    assert [] == device.waits


def test_what_the_host_would_wait_for_is_noticed(monkeypatch):
    """A plain copy to the device counts; a number that is asked of it raises."""
    device = Pretended(monkeypatch)
    with device.mode, Crossings(device.waits):
        there = torch.ones(2, 3).to(DEVICE)
        assert ["cpu to meta, (2, 3)"] == device.waits
        with pytest.raises(DataDependentOutputException):
            there.sum().item()
        with pytest.raises(RuntimeError, match="same device"):
            there + torch.ones(2, 3)
