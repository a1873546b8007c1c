"""The known traps of compositions, one test each, by their numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.checkpoint.hub.fusions import examine_fusion
from adapter_runtime.engine.reference import ReferenceRouter
from adapter_runtime.methods.lora import LoraSettings
from adapter_runtime.methods.table import METHODS
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Adapter, Average, Fuse, Leaf, Part, PlugPoint, Site, Stack
from tests.composition.layer import DYNAMIC, LENGTHS, PFEIFFER, WIDTH, make_bench
from tests.goldens import replay
from tests.goldens.filling import draw

TOLERANCE = 1e-6  # fp32
BARE = PFEIFFER | {"original_ln_before": False, "original_ln_after": False}
"""Flags that leave the block's sum as it is: h plus what the block adds."""


def run(bench: Any, tree: Any) -> torch.Tensor:
    found = [bench.found([tree] * len(LENGTHS), is_fast=is_fast) for is_fast in (True, False)]
    assert torch.allclose(*found, atol=TOLERANCE)
    return found[0]


def test_t02_the_last_adapter_of_a_stack_governs_the_end() -> None:
    """Residual and norm close a stack by the last adapter's flags, not by the first one's."""
    bench = make_bench({"a": PFEIFFER, "b": BARE}, {})
    for tree, is_closed in ((Stack("b", "a"), True), (Stack("a", "b"), False)):
        found = run(bench, tree)
        means = ((found - bench.norm.bias) / bench.norm.weight).mean(-1)
        assert (float(means.abs().max()) < 1e-5) is is_closed
        assert torch.allclose(found, bench.expected([tree] * len(LENGTHS)), atol=1e-5)


def test_t02_the_first_adapter_governs_what_an_average_reads() -> None:
    """All children of an average read what the first one's flags say."""
    bench = make_bench({"a": PFEIFFER, "b": BARE}, {})
    block = bench.plain.blocks["b"]
    h, residual = bench.states()
    read = bench.norm(h + residual)
    blocks = [bench.plain.blocks["a"].forward(read, h)[0], block.forward(read, h)[0]]
    assert torch.allclose(run(bench, Average("a", "b")), sum(blocks) / 4, atol=TOLERANCE)


def test_t18_average_divides_twice() -> None:
    """The library's average is a quarter of the sum of two; `mean` is the half."""
    bench = make_bench({"a": BARE, "b": BARE}, {})
    total = run(bench, Leaf("a")) + run(bench, Leaf("b"))
    assert torch.allclose(run(bench, Average("a", "b")), total / 4, atol=TOLERANCE)
    assert torch.allclose(run(bench, Average("a", "b", mode="mean")), total / 2, atol=TOLERANCE)


def test_t18_the_absent_leave_their_weight_to_the_others() -> None:
    """One child of three: its output counts with all weights, divided by three; two: likewise."""
    bench = make_bench({"a": BARE, "b": BARE, "c": None}, {})
    a, b = run(bench, Leaf("a")), run(bench, Leaf("b"))
    one = Average("a", "c", "c", weights=[1, 1, 2])
    assert torch.allclose(run(bench, one), a / 3, atol=TOLERANCE)
    two = Average("a", "b", "c", weights=[1, 3, 4])
    assert torch.allclose(run(bench, two), (a / 4 + b * 3 / 4) / 3, atol=TOLERANCE)


@pytest.mark.parametrize("is_hot", (False, True))
def test_t19_fusion_scores_are_not_scaled_by_width(is_hot: bool) -> None:
    """Scores are divided by the temperature alone: 50 as in a model that was just loaded, or 1."""
    flags = DYNAMIC | {"query": False, "key": False, "value": False, "temperature": is_hot}
    bench = make_bench({"a": BARE, "b": BARE}, {"f": flags})
    h, _ = bench.states()
    ups = [bench.plain.blocks[name].forward(h, h)[1] for name in "ab"]
    scores = torch.stack([(h * up).sum(-1) for up in ups]) / (50 if is_hot else 1)
    shares = scores.softmax(0).unsqueeze(-1)
    expected = (shares * torch.stack(ups)).sum(0) + h
    found = run(bench, Fuse("a", "b", fusion="f"))
    assert torch.allclose(found, expected, atol=1e-5)
    scaled = (torch.stack([(h * up).sum(-1) for up in ups]) / math.sqrt(WIDTH)).softmax(0)
    assert not torch.allclose(shares.squeeze(-1), scaled, atol=0.05)


def test_t20_stacked_lora_reads_what_the_first_one_adds() -> None:
    """The second product's input is the first product, and only the last one is added."""
    point, linear = PlugPoint(0, Site.QUERY), nn.Linear(WIDTH, WIDTH).requires_grad_(False)
    factors = {
        name: {
            "down": draw(f"{name} down", (3, WIDTH), 0.5),
            "up": draw(f"{name} up", (WIDTH, 3), 0.5),
        }
        for name in "ab"
    }
    adapters = {
        name: Adapter(name, name, (Part("lora", point, LoraSettings(2.0), tensors),))
        for name, tensors in factors.items()
    }
    x = draw("x", (4, WIDTH), 1.0)
    router = ReferenceRouter(adapters.__getitem__, METHODS)
    work: Any = router.route([Stack("a", "b")], RowSpans([0], [4], 4))[point]
    first = 2 * x @ factors["a"]["down"].t() @ factors["a"]["up"].t()
    second = 2 * first @ factors["b"]["down"].t() @ factors["b"]["up"].t()
    assert torch.allclose(work(linear, x), linear(x) + second, atol=1e-5)


def test_t21_a_fusion_of_a_longer_name_is_set_aside() -> None:
    """The library saves `shorter` with `short`; whole names tell them apart."""
    folder = Folder(replay.checkpoints("composition", "bert") / "fusion_short", "short")
    facts = replay.engine("bert").backbone.facts
    found = examine_fusion(folder, facts, {})
    assert found.adapter is not None
    assert set(found.accounts.values()) == {"used", "another fusion's"}
    assert {name.split(".")[-3] for name, fate in found.accounts.items() if fate == "used"} == {
        "short"
    }
