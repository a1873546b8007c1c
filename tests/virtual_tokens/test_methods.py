"""Prefixes, prompts and invertible blocks: both paths against equations written out."""

from __future__ import annotations

from itertools import accumulate

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import linear

from adapter_runtime.backbone.routing import Groups
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.methods.invertible import Invertible, InvertibleSettings
from adapter_runtime.methods.prefix import PrefixSettings, PrefixTuning
from adapter_runtime.methods.prompt import Prompt, PromptSettings
from adapter_runtime.types import MODEL_LEVEL, Part, PlugPoint, Site
from tests.goldens.filling import draw

TOLERANCE = 3e-6  # fp32, on outputs of size one to three
CPU = torch.device("cpu")
WIDTH = 6
EMBEDDINGS = PlugPoint(MODEL_LEVEL, Site.EMBEDDINGS)
BOUNDED = settings(max_examples=40, deadline=None, derandomize=True)


@st.composite
def streams(draw_from, shortest=1):
    """Rows as spans, padded or packed, and the table row of each."""
    lengths = draw_from(st.lists(st.integers(shortest, 6), min_size=1, max_size=5))
    table_rows = draw_from(
        st.lists(st.integers(1, 3), min_size=len(lengths), max_size=len(lengths))
    )
    padding = draw_from(st.integers(0, 2))
    ends = list(accumulate(length + padding for length in lengths))
    starts = [end - length - padding for end, length in zip(ends, lengths, strict=True)]
    return RowSpans(starts, lengths, ends[-1]), table_rows


def groups_of(spans, table_rows):
    """One segment for each row."""
    ends = [*spans.starts[1:], spans.num_tokens]
    return Groups(0, spans.num_tokens, table_rows, ends, spans, CPU)


def filled(method, parts):
    table = method.new_table(parts[0], nn.Identity(), CPU, torch.float32)
    for number, part in enumerate(parts, 1):
        table.put(number, part)
    return table


def each_row(spans, x):
    for row, (start, length) in enumerate(zip(spans.starts, spans.lengths, strict=True)):
        stop = spans.starts[row + 1] if row + 1 < len(spans) else spans.num_tokens
        yield row, x[start : start + length], slice(start, stop)


def prefix_part(number, length, num_gates):
    shapes = {"keys": (2, length, 3), "values": (2, length, 3)}
    if num_gates:
        shapes |= {"gate_weight": (num_gates, WIDTH), "gate_bias": (num_gates,)}
    tensors = {name: draw(f"{number} {name}", shape, 1.0) for name, shape in shapes.items()}
    return Part("prefix", PlugPoint(0, Site.KEYS_VALUES), PrefixSettings(), tensors)


@BOUNDED
@given(streams(), st.integers(1, 4), st.integers(0, 2))
def test_t06_prefix_gates_are_means_over_a_rows_own_tokens(stream, length, num_gates):
    """Each row's prefix is that of its adapter times its own gates, whatever pads the row."""
    (spans, table_rows), method = stream, PrefixTuning()
    parts = [prefix_part(number, length, num_gates) for number in range(3)]
    x = draw("x", (spans.num_tokens, WIDTH), 1.0)
    found = filled(method, parts).prefixes(groups_of(spans, table_rows), x)
    for row, own, whole in each_row(spans, x):
        part = parts[table_rows[row] - 1]
        gates = torch.ones(1)
        if num_gates:
            scores = linear(own, part.tensors["gate_weight"], part.tensors["gate_bias"])
            gates = scores.sigmoid().mean(0)
        expected = (part.tensors["keys"] * gates[0], part.tensors["values"] * gates[-1])
        (reference,) = method.prefixes(part, x[whole], spans.slice(row, row + 1))
        for path in (found[row], reference):
            for ours, theirs in zip(path, expected, strict=True):
                assert (ours - theirs).abs().max() < TOLERANCE


@BOUNDED
@given(streams(shortest=4), st.integers(1, 3), st.integers(0, 1))
def test_prompts_replace_their_placeholders_only(stream, length, place):
    """Vectors stand where the row's placeholders stood; all other states stay as they were."""
    (spans, table_rows), method = stream, Prompt()
    parts = [
        Part(
            "prompt",
            EMBEDDINGS,
            PromptSettings(place),
            {"vectors": draw(f"{number}", (length, WIDTH), 1.0)},
        )
        for number in range(3)
    ]
    x = draw("x", (spans.num_tokens, WIDTH), 1.0)
    groups, table = groups_of(spans, table_rows), filled(method, parts)
    found = table.finish(groups, x.clone(), table.step(groups, x, None))
    expected = x.clone()
    for row, _, whole in each_row(spans, x):
        first, part = whole.start + place, parts[table_rows[row] - 1]
        expected[first : first + length] = part.tensors["vectors"]
        hidden = method.step(part, x[whole], None, spans.slice(row, row + 1))
        reference = method.finish(part, x[whole], hidden, nn.Identity())
        assert torch.equal(reference, expected[whole])
    assert torch.equal(found, expected)


def invertible_part(number, width, narrow, activation, *, is_inverse=False):
    first, second = width // 2, width - width // 2
    shapes = {
        **{"f_down_weight": (narrow, second), "f_down_bias": (narrow,)},
        **{"f_up_weight": (first, narrow), "f_up_bias": (first,)},
        **{"g_down_weight": (narrow, first), "g_down_bias": (narrow,)},
        **{"g_up_weight": (second, narrow), "g_up_bias": (second,)},
    }
    tensors = {name: draw(f"{number} {name}", shape, 0.5) for name, shape in shapes.items()}
    settings = InvertibleSettings(activation, is_inverse=is_inverse)
    return Part("invertible", EMBEDDINGS, settings, tensors)


def net(part, name, x):
    tensors, activate = part.tensors, getattr(torch, part.settings.activation)
    down = activate(linear(x, tensors[f"{name}_down_weight"], tensors[f"{name}_down_bias"]))
    return linear(down, tensors[f"{name}_up_weight"], tensors[f"{name}_up_bias"])


@BOUNDED
@given(streams(), st.integers(2, 9), st.integers(1, 9), st.sampled_from(("relu", "sigmoid")))
def test_invertible_blocks_equal_their_equations_and_undo_themselves(
    stream, width, narrow, activation
):
    """`y1 = x1 + F(x2)`, `y2 = x2 + G(y1)` at odd widths too, and back again."""
    (spans, table_rows), method = stream, Invertible()
    parts = [invertible_part(number, width, narrow, activation) for number in range(3)]
    backs = [
        invertible_part(number, width, narrow, activation, is_inverse=True) for number in range(3)
    ]
    x, groups = draw("x", (spans.num_tokens, width), 1.0), groups_of(spans, table_rows)
    found = filled(method, parts).step(groups, x, None)
    returned = filled(method, backs).step(groups, found, None)
    assert (returned - x).abs().max() < TOLERANCE
    for row, _, whole in each_row(spans, x):
        part, (first, second) = (
            parts[table_rows[row] - 1],
            x[whole].split((width // 2, width - width // 2), 1),
        )
        first = first + net(part, "f", second)
        expected = torch.cat((first, second + net(part, "g", first)), 1)
        reference = method.step(part, x[whole], None, spans.slice(row, row + 1))
        assert (found[whole] - expected).abs().max() < TOLERANCE
        assert (reference - expected).abs().max() < TOLERANCE


def test_rows_that_change_hands_hold_nothing_of_the_adapter_before():
    """A freed row is overwritten whole by the next that takes it."""
    method, parts = Invertible(), [invertible_part(number, 6, 3, "relu") for number in range(2)]
    used, new, spans = filled(method, parts), filled(method, parts[1:]), RowSpans((0,), (4,), 4)
    used.clear(1)
    used.put(1, parts[1])
    x, groups = draw("x", (4, 6), 1.0), groups_of(spans, (1,))
    assert torch.equal(used.step(groups, x, None), new.step(groups, x, None))
    assert used.num_bytes > 0
