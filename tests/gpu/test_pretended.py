"""The way of a batch on a CUDA device that is only pretended: every machine can run these."""

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException

from adapter_runtime import EngineConfig, WorkItem, open_engine
from serving.catalog.entries import read_spec
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
MOST_CASES = 50


def mixed_batch(opened, backbone):
    """One row of each of many golden cases."""
    cases = [case for case in replay.all_cases() if case.backbone == backbone]
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
