import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from adapter_runtime.backbone import quantized
from adapter_runtime.backbone.load import load_backbone
from adapter_runtime.backbone.quantized import Int8Linear, int8_packing, quantise
from adapter_runtime.backbone.routing import Routing
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.methods.dora import Dora, DoraSettings
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Part, PlugPoint, Site
from tests.backbone.test_encoders import ENCODERS, output
from tests.backbone.tiny import random_row
from tests.engine_forward.collect import largest_gap
from tests.goldens.replay import saved_backbone

CPU = torch.device("cpu")


def make_linear(base=nn.Linear):
    """A frozen linear of 96 inputs and 40 outputs whose channels differ in size."""
    torch.manual_seed(0)
    linear = nn.Linear(96, 40) if base is nn.Linear else Conv1D(40, 96)
    with torch.no_grad():
        spread = torch.logspace(-2, 1, 40)
        linear.weight.mul_(spread.unsqueeze(1) if base is nn.Linear else spread)
    return linear.requires_grad_(False)


@pytest.mark.parametrize("base", (nn.Linear, Conv1D))
def test_each_channel_and_each_token_is_rounded_by_its_own_scale(base):
    """Neither a large channel nor a large token takes digits from the small ones."""
    linear = make_linear(base)
    x = torch.randn(9, 96) * torch.logspace(-3, 3, 9).unsqueeze(1)
    packed = int8_packing()(linear)
    with torch.inference_mode():
        found, exact = packed(x), linear(x)
    size = (x.abs().amax(1, keepdim=True)) * packed.weight.abs().amax(1)
    assert isinstance(packed, Int8Linear)
    assert ((found - exact).abs() <= 0.1 * size).all()
    assert not torch.equal(found, exact)


def test_whole_numbers_are_computed_exactly():
    """What needs no rounding loses nothing, whatever the sign."""
    linear = nn.Linear(64, 8, bias=False).requires_grad_(False)
    linear.weight.copy_(torch.randint(-127, 128, (8, 64)).float())
    linear.weight[:, 0] = 127
    x = torch.randint(-100, 156, (5, 64)).float()
    x[:, 0], x[:, 1] = -100, 155
    with torch.inference_mode():
        assert torch.equal(Int8Linear(linear, 255)(x), linear(x))


def test_a_token_is_quantised_alone():
    """Its neighbours, however large, change no bit of its output."""
    packed, x = Int8Linear(make_linear(), 255), torch.randn(1, 33, 96)
    x[:, 20] *= 1000
    with torch.inference_mode():
        alone = torch.cat([packed(x[:, token : token + 1]) for token in range(33)], 1)
        assert torch.equal(packed(x), alone)


def test_tokens_of_zeros_and_of_one_sign_are_quantised():
    """No division by zero, and no range is lost to the sign that is not there."""
    x = torch.stack((torch.zeros(16), torch.linspace(0.1, 5, 16), -torch.linspace(0.1, 5, 16)))
    whole, scales, least = quantise(x, 255)
    back = whole.float() * scales + least
    assert (back - x).abs().amax() <= 5 / 255 / 2 + 1e-6
    assert whole[1:].amax() == 255


def test_gelu_follows_the_product():
    """In both forms."""
    packed, x = Int8Linear(make_linear(), 255), torch.randn(3, 96)
    with torch.inference_mode():
        for form in ("none", "tanh"):
            expected = functional.gelu(packed(x), approximate=form)
            assert torch.allclose(expected, packed.gelu(x, form), atol=1e-6)


def test_the_float_weights_stay_for_adapters_and_gradients():
    """DoRA's norms come from them, and outside inference mode the plain linear runs."""
    base, x = make_linear(), torch.randn(3, 96)
    packed = Int8Linear(base, 255)
    assert packed.weight is base.weight
    assert torch.equal(packed(x), base(x))


SATURATED = """
import torch
from torch import nn
from adapter_runtime.backbone.quantized import Int8Linear, STEPS_WITHOUT_VNNI
linear = nn.Linear(64, 4, bias=False).requires_grad_(False)
linear.weight.fill_(1.0)
x = torch.ones(3, 64)
x[:, 0] = 0
with torch.inference_mode():
    for steps in (255, STEPS_WITHOUT_VNNI):
        print((Int8Linear(linear, steps)(x) - 63).abs().max().item() < 1e-3)
"""


def test_cpus_without_vnni_do_not_overflow():
    """Their products are added in pairs in 16 bits: whole bytes overflow, seven bits do not."""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}
    command = [sys.executable, "-c", SATURATED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ["False", "True"] == done.stdout.split()


@pytest.mark.parametrize("name", ENCODERS)
def test_rows_run_in_int8(name):
    """Near enough to float32, and each row of a batch is bit by bit the row alone."""
    backbone = load_backbone(Folder(saved_backbone(name), name), CPU, torch.float32, in_int8=True)
    rows = [random_row(length, length) for length in (9, 5, 14)]

    def states(chosen):
        lengths = [len(row.input_ids) for row in chosen]
        width = max(lengths)
        packed = backbone.layout == "packed"
        starts = [sum(lengths[:i]) if packed else i * width for i in range(len(lengths))]
        total = sum(lengths) if packed else width * len(lengths)
        spans = RowSpans(starts, lengths, total)
        found = backbone.forward(chosen, Routing(backbone.layout, spans, {}))
        return [found[a : a + n] for a, n in zip(starts, lengths, strict=True)]

    with torch.inference_mode():
        together = states(rows)
        alone = [states([row])[0] for row in rows]
    assert backbone.precision == "int8"
    for row, one, other in zip(rows, together, alone, strict=True):
        expected = output(name, row).last_hidden_state[0]
        assert 1e-6 < largest_gap(one, expected) < 0.3
        assert largest_gap(one, other) <= (0 if backbone.layout == "packed" else 0.02)


def test_linears_that_read_the_same_states_quantise_them_once(monkeypatch):
    """Others, even of equal shape and in the same memory, are quantised anew."""
    calls = []
    monkeypatch.setattr(
        quantized, "quantise", lambda x, steps: calls.append(x.shape) or quantise(x, steps)
    )
    one, other = (Int8Linear(make_linear(), 255) for _ in range(2))
    with torch.inference_mode():
        for _ in range(3):
            x = torch.randn(4, 96)
            expected = one(x.clone())
            assert torch.equal(one(x), expected)
            assert torch.equal(other(x), expected)
            del x
    assert len(calls) == 6


def test_doras_norms_come_from_the_weights_before_rounding():
    """Its table over a quantised linear is that over the plain one, bit by bit."""
    base = make_linear()
    random = torch.Generator().manual_seed(0)
    tensors = {
        "down": torch.randn(4, 96, generator=random),
        "up": torch.randn(40, 4, generator=random),
        "magnitude": torch.rand(40, generator=random),
    }
    part = Part("dora", PlugPoint(0, Site.QUERY), DoraSettings(scale=0.5), tensors)
    tables = [
        Dora().new_table(part, each, CPU, torch.float32) for each in (base, Int8Linear(base, 255))
    ]
    for table in tables:
        table.put(1, part)
    plain, quantised = (table._stacks for table in tables)
    assert all(torch.equal(plain.rows(name)[1], quantised.rows(name)[1]) for name in plain.stacks)


def test_steps_below_the_last_digit_of_a_value_stay_in_order():
    """A token of nearly equal large values keeps its largest value the largest."""
    torch.manual_seed(0)
    x = torch.rand(2000, 64) * 0.0156 + 513
    whole, _, _ = quantise(x, 255)
    largest = whole.gather(1, x.argmax(1, keepdim=True))
    assert largest.min() >= 254
