"""On a CPU the device computes with the host's own tensors: laid out for it, and held once."""

import gc
import weakref

import pytest
import torch
from torch import nn

from adapter_runtime.methods.bottleneck import BottleneckSettings
from adapter_runtime.methods.dora import DoraSettings
from adapter_runtime.methods.fusion import FusionSettings
from adapter_runtime.methods.ia3 import Ia3Settings
from adapter_runtime.methods.lora import LoraSettings
from adapter_runtime.methods.prefix import PrefixSettings
from adapter_runtime.methods.reft import ReftSettings
from adapter_runtime.methods.replacement import ReplacementSettings
from adapter_runtime.methods.table import METHODS
from adapter_runtime.residency.layout import laid_out
from adapter_runtime.residency.slots import SlotPool
from adapter_runtime.types import Adapter, Part, PlugPoint, Site
from tests.residency.fakes import CPU

LINEAR, SUBLAYER = PlugPoint(0, Site.QUERY), PlugPoint(0, Site.FFN)
ATTENTION, LAYER = PlugPoint(0, Site.KEYS_VALUES), PlugPoint(0, Site.LAYER)
WIDTH = 32
BLOCK = BottleneckSettings("relu", scaling=4.0)
FACTORS = {"down": (8, WIDTH), "up": (WIDTH, 8)}
CASES = {
    # its point, settings, shapes, and those of them that the tables need not copy
    "lora": (LINEAR, LoraSettings(1.7), FACTORS, "down up"),
    "dora": (LINEAR, DoraSettings(0.3), FACTORS | {"magnitude": (WIDTH,)}, "down up"),
    "ia3": (LINEAR, Ia3Settings(), {"scale": (WIDTH,)}, ""),
    "replacement": (
        LINEAR,
        ReplacementSettings(),
        {"weight": (WIDTH, WIDTH), "bias": (WIDTH,)},
        "weight",
    ),
    "bottleneck": (
        SUBLAYER,
        BLOCK,
        {
            "down_weight": (8, WIDTH),
            "down_bias": (8,),
            "up_weight": (WIDTH, 8),
            "up_bias": (WIDTH,),
        },
        "down_weight up_weight",
    ),
    "fusion": (
        SUBLAYER,
        FusionSettings(),
        {f"{name}_weight": (WIDTH, WIDTH) for name in ("query", "key", "value")},
        "query_weight key_weight value_weight",
    ),
    "prefix": (
        ATTENTION,
        PrefixSettings(),
        {"keys": (2, 3, 16), "values": (2, 3, 16)},
        "keys values",
    ),
    "reft": (
        LAYER,
        ReftSettings(1, 1),
        {"source_weight_0": (4, WIDTH), "source_bias_0": (4,), "projection_0": (4, WIDTH)},
        "source_weight_0 projection_0",
    ),
}


def made(method, seed=0):
    """An adapter of one Part, and the bytes of it that need no copy."""
    point, settings, shapes, shared = CASES[method]
    random = torch.Generator().manual_seed(seed)
    tensors = {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}
    part = Part(method, point, settings, tensors)
    num_bytes = sum(tensors[name].nbytes for name in shared.split())
    return Adapter(f"{method}{seed}", f"{method}{seed}", (part,)), num_bytes


def pool(dtype=torch.float32):
    bases = {LINEAR: nn.Linear(WIDTH, WIDTH).requires_grad_(False)}
    return SlotPool(METHODS, bases, CPU, dtype)


@pytest.mark.parametrize("method", CASES)
def test_laying_out_changes_no_number(method):
    """Names, order, shapes and every bit are as they were read; settings and digest too."""
    adapter, _ = made(method)
    found = laid_out(adapter, METHODS)
    before, after = adapter.parts[0].tensors, found.parts[0].tensors
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (found.digest, found.num_bytes) == (adapter.digest, adapter.num_bytes)


@pytest.mark.parametrize("method", CASES)
def test_matrices_of_a_resident_adapter_are_held_once(method):
    """The tables count what they share, and let go of it when the adapter leaves."""
    adapter, shared_bytes = made(method)
    slots = pool()
    slots.acquire(laid_out(adapter, METHODS))
    assert slots.shared_bytes == shared_bytes
    slots.release(adapter.digest)
    assert slots.drop(adapter.digest)
    assert slots.shared_bytes == 0


def test_fewer_digits_on_the_device_need_a_copy():
    """In bfloat16 a fusion's projections are others than the host's."""
    slots = pool(torch.bfloat16)
    slots.acquire(laid_out(made("fusion")[0], METHODS))
    assert slots.shared_bytes == 0


def test_what_left_host_and_device_is_gone():
    """Neither keeps the other's weights alive, whoever leaves first."""
    slots, adapter = pool(), laid_out(made("lora")[0], METHODS)
    block = weakref.ref(adapter.parts[0].tensors["down"].untyped_storage())
    expected = made("lora")[0].parts[0].tensors["down"]
    slot = slots.acquire(adapter)
    del adapter
    gc.collect()
    table = slot.placements[LINEAR][0].table
    assert torch.equal(table._stacks.rows("down")[slot.placements[LINEAR][0].row], expected)
    slots.release("lora0")
    slots.drop("lora0")
    gc.collect()
    assert block() is None


def test_adapters_too_large_for_one_block_are_laid_out_too(monkeypatch):
    """Each tensor then lies for itself."""
    monkeypatch.setattr("adapter_runtime.residency.uploads._MAX_LOCKED", 1)
    adapter, shared_bytes = made("bottleneck")
    slots = pool()
    slots.acquire(laid_out(adapter, METHODS))
    assert slots.shared_bytes == shared_bytes
