"""How a stream is handed to the kernel that attends in all rows at once.

The kernel itself needs a CUDA device. Here a plain loop stands in for it, so that what is handed
over is held against the loop over rows that every other device takes.
"""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.attention.varlen

from adapter_runtime.backbone import attention_cuda
from adapter_runtime.backbone.attention import packed_attention
from adapter_runtime.backbone.routing import CountedPrefix, Layout, Routing
from adapter_runtime.backbone.spans import RowSpans
from tests.backbone.by_hand import varlen_by_hand

LENGTHS = (5, 1, 12, 7)
SPANS = RowSpans((0, 5, 6, 18), LENGTHS, 25)
WIDTH = 8
TOLERANCE = 1e-6


@pytest.fixture(autouse=True)
def kernel(monkeypatch):
    """The stand-in in the kernel's place."""
    monkeypatch.setattr(torch.nn.attention.varlen, "varlen_attn", varlen_by_hand)


def states(num_heads, seed):
    """A stream's queries, keys or values."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, num_heads, SPANS.num_tokens, WIDTH, generator=generator)


def prefix(num_heads, length, seed):
    """Keys and values before a row."""
    return tuple(states(num_heads, seed + each)[0, :, :length] for each in (0, 1))


@pytest.mark.parametrize("num_heads", (4, 2), ids=["own-keys", "shared-keys"])
@pytest.mark.parametrize("has_prefixes", (False, True), ids=["bare", "prefixes"])
@pytest.mark.parametrize("window", (None, 1, 4, 6))
@pytest.mark.parametrize("is_causal", (False, True))
def test_one_call_for_all_rows_is_told_what_the_loop_does(
    is_causal, window, has_prefixes, num_heads
):
    """Lengths, prefixes of unlike lengths, both directions, windows and shared keys."""
    query, key, value = states(4, 0), states(num_heads, 1), states(num_heads, 2)
    found = [None, prefix(num_heads, 3, 3), None, prefix(num_heads, 9, 5)]
    prefixes = found if has_prefixes else None
    module = SimpleNamespace(is_causal=is_causal)
    options = {"prefixes": prefixes, "scaling": 0.3, "sliding_window": window}
    routing = Routing(Layout.PACKED, SPANS, {})
    expected, _ = packed_attention(module, query, key, value, None, routing=routing, **options)
    together = attention_cuda.attend(
        *(query, key, value, SPANS, prefixes), is_causal=is_causal, window=window, scaling=0.3
    )
    torch.testing.assert_close(together, expected, atol=TOLERANCE, rtol=0)


def test_the_kernel_is_asked_only_for_what_it_can_do(monkeypatch):
    """Half precision, widths of whole vectors, and prefixes that masks do not count."""
    monkeypatch.setattr(attention_cuda, "has_flash", lambda device: True)
    half, single = states(4, 0).bfloat16(), states(4, 0)
    odd, ones = half[..., :7], RowSpans(range(3), (1, 1, 1), 3)
    counted = [CountedPrefix(*prefix(4, 3, 3)), None, None, None]
    assert attention_cuda.has_kernel(half, half, SPANS, None)
    assert attention_cuda.has_kernel(half, half, SPANS, [None] * 4)
    assert not attention_cuda.has_kernel(single, single, SPANS, None)
    assert not attention_cuda.has_kernel(odd, odd, SPANS, None)
    assert not attention_cuda.has_kernel(half, odd, SPANS, None)
    assert not attention_cuda.has_kernel(half, half, ones, None)
    assert not attention_cuda.has_kernel(half, half, SPANS, counted)


def test_a_device_without_the_kernel_takes_the_loop():
    """No CPU has it, whatever the dtype."""
    half = states(4, 0).bfloat16()
    assert not attention_cuda.has_kernel(half, half, SPANS, None)
