"""Every family of backbones runs in every dtype, near to its float32 states."""

import pytest
import torch

from adapter_runtime.backbone.load import load_backbone
from adapter_runtime.backbone.routing import Layout, Routing
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.sources.folder import Folder
from tests.backbone.tiny import random_row
from tests.goldens.models import MODELS
from tests.goldens.replay import saved_backbone

CPU = torch.device("cpu")
LENGTHS = (7, 4, 4)


def states_of(name, dtype, in_int8=False):
    """The states of three rows, without padding."""
    backbone = load_backbone(Folder(saved_backbone(name), name), CPU, dtype, in_int8)
    rows = [random_row(length, seed) for seed, length in enumerate(LENGTHS)]
    starts = (0, 7, 11) if backbone.layout is Layout.PACKED else (0, 7, 14)
    total = 15 if backbone.layout is Layout.PACKED else 21
    routing = Routing(backbone.layout, RowSpans(starts, LENGTHS, total), {})
    with torch.inference_mode():
        states = backbone.forward(rows, routing)
    spans = zip(starts, LENGTHS, strict=True)
    return torch.cat([states[start : start + length] for start, length in spans])


@pytest.mark.parametrize("dtype", ("bfloat16", "int8"))
@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_family_runs_in_fewer_digits(name, dtype):
    """Biases, windows and grouped keys included; the direction of every state stays."""
    exact = states_of(name, torch.float32)
    if dtype == "int8":
        found = states_of(name, torch.float32, in_int8=True)
    else:
        found = states_of(name, torch.bfloat16)
    assert not torch.equal(found.float(), exact)
    assert torch.cosine_similarity(found.float(), exact).min() > 0.97
