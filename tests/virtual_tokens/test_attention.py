"""Attention in both layouts against softmax written out, over random rows, heads and prefixes."""

from __future__ import annotations

from itertools import accumulate

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from adapter_runtime.backbone.attention import packed_attention, padded_attention
from adapter_runtime.backbone.routing import Layout, Routing
from adapter_runtime.backbone.spans import RowSpans
from tests.goldens.filling import draw

TOLERANCE = 2e-6  # fp32, on outputs of size one
WIDTH = 4
BOUNDED = settings(max_examples=60, deadline=None, derandomize=True)


class Module(nn.Module):
    """As much of an attention module as the interface reads."""

    def __init__(self, is_causal: bool = False) -> None:
        super().__init__()
        self.is_causal = is_causal


@st.composite
def batches(draw_from):
    """Rows as (length, prefix length), query heads per key head, and key heads."""
    row = st.tuples(st.integers(1, 7), st.integers(0, 3))
    rows = draw_from(st.lists(row, min_size=1, max_size=4))
    return rows, draw_from(st.sampled_from((1, 2, 3))), draw_from(st.sampled_from((1, 2)))


def states(rows, groups, heads):
    """Queries, keys, values and prefix of each row. Shape: `[heads, tokens, width]`."""
    for number, (length, prefixed) in enumerate(rows):
        shapes = [(heads * groups, length, WIDTH), *[(heads, length, WIDTH)] * 2]
        own = [draw(f"{number} {kind}", shape, 1.0) for kind, shape in enumerate(shapes)]
        pair = tuple(draw(f"{number} {kind}", (heads, prefixed, WIDTH), 1.0) for kind in "kv")
        yield *own, pair if prefixed else None


def plain(query, key, value, prefix, seen, groups, bias=0.0):
    """Softmax of one row, written out; a bias is on the scores of the row's own keys.

    Shape: `[tokens, heads, width]`.
    """
    key, value = key.repeat_interleave(groups, 0), value.repeat_interleave(groups, 0)
    scores = query @ key.transpose(1, 2) / WIDTH**0.5 + bias
    if prefix is not None:
        before, after = (states.repeat_interleave(groups, 0) for states in prefix)
        scores = torch.cat((query @ before.transpose(1, 2) / WIDTH**0.5, scores), -1)
        value = torch.cat((after, value), 1)
    return (scores.masked_fill(~seen, -torch.inf).softmax(-1) @ value).transpose(0, 1)


def visible(length, prefix, is_causal, window=None):
    """What each token sees; a prefix stands before the row like tokens that went before."""
    before = 0 if prefix is None else prefix[0].shape[1]
    distance = torch.arange(length).unsqueeze(1) + before - torch.arange(before + length)
    seen = distance >= 0 if is_causal else torch.ones_like(distance, dtype=torch.bool)
    return seen if window is None else seen & (distance.abs() < window)


@BOUNDED
@given(batches(), st.booleans(), st.sampled_from((None, 1, 3, 100)))
def test_packed_rows_see_themselves_and_their_prefix(batch, is_causal, window):
    """Whatever stands beside a row, it attends as softmax over its own tokens says."""
    rows, groups, heads = batch
    found = list(states(rows, groups, heads))
    query, key, value = (
        torch.cat([row[kind] for row in found], 1).unsqueeze(0) for kind in range(3)
    )
    lengths = [length for length, _ in rows]
    ends = list(accumulate(lengths))
    routing = Routing(Layout.PACKED, RowSpans([0, *ends[:-1]], lengths, ends[-1]), {})
    options = {"routing": routing, "prefixes": [row[3] for row in found], "sliding_window": window}
    attended = packed_attention(Module(is_causal), query, key, value, None, **options)[0][0]
    for row, part in zip(found, attended.split(lengths), strict=True):
        seen = visible(row[0].shape[1], row[3], is_causal, window)
        expected = plain(*row, seen, groups)
        assert (part - expected).abs().max() < TOLERANCE


@BOUNDED
@given(batches(), st.booleans(), st.booleans())
def test_padded_rows_see_what_the_mask_and_their_prefix_say(batch, is_causal, is_biased):
    """Position bias and mask are the model's own; prefixes stand before both, unbiased."""
    rows, groups, heads = batch
    found = list(states(rows, groups, heads))
    longest = max(length for length, _ in rows)
    query, key, value = (
        torch.stack(
            [
                nn.functional.pad(row[kind], (0, 0, 0, longest - row[0].shape[1], 0, 0))
                for row in found
            ]
        )
        for kind in range(3)
    )
    mask = torch.zeros(len(rows), 1, longest, longest)
    for number, (length, _) in enumerate(rows):
        mask[number, 0, :, length:] = torch.finfo(torch.float32).min
        if is_causal:
            mask[number, 0].masked_fill_(~visible(longest, None, is_causal=True), -1e9)
    bias = draw("bias", (1, heads * groups, longest, longest), 1.0) if is_biased else None
    spans = RowSpans(
        range(0, len(rows) * longest, longest), [length for length, _ in rows], len(rows) * longest
    )
    options = {
        "routing": Routing(Layout.PADDED, spans, {}),
        "prefixes": [row[3] for row in found],
        "position_bias": bias,
    }
    attended = padded_attention(Module(), query, key, value, mask, **options)[0]
    for number, row in enumerate(found):
        length = row[0].shape[1]
        own = bias[0, :, :length, :length] if is_biased else 0.0
        expected = plain(*row, visible(length, row[3], is_causal), groups, own)
        assert (attended[number, :length] - expected).abs().max() < TOLERANCE


def test_t49_prefixes_of_unequal_lengths_share_a_batch_unpadded():
    """A row with a short prefix sees no filling of the longest one."""
    rows = [(5, 2), (5, 6), (5, 0)]
    found = list(states(rows, 1, 2))
    together = [torch.cat([row[kind] for row in found], 1).unsqueeze(0) for kind in range(3)]
    routing = Routing(Layout.PACKED, RowSpans((0, 5, 10), (5, 5, 5), 15), {})
    options = {"routing": routing, "prefixes": [row[3] for row in found]}
    attended = packed_attention(Module(), *together, None, **options)[0][0]
    for row, part in zip(found, attended.split(5), strict=True):
        expected = plain(*row, visible(5, row[3], is_causal=False), 1)
        assert (part - expected).abs().max() < TOLERANCE
