"""Replaced modules, LoRA on tables and single vectors: the fast path equals the reference."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.models.bart.modeling_bart import BartScaledWordEmbedding
from transformers.models.t5.modeling_t5 import T5LayerNorm
from transformers.pytorch_utils import Conv1D

from adapter_runtime.methods.lora_embedding import LoraEmbeddingSettings
from adapter_runtime.methods.replacement import ReplacementSettings
from adapter_runtime.methods.table import METHODS
from adapter_runtime.methods.token_rows import TokenRowsSettings
from adapter_runtime.types import MODEL_LEVEL, Part, PlugPoint, Site
from tests.goldens.filling import draw, fill_backbone
from tests.methods.test_fast_path import (
    TABLE_ROWS,
    bounds,
    filled_table,
    groups_of,
    spans,
    token_bounds,
)

WORDS = PlugPoint(MODEL_LEVEL, Site.WORD_EMBEDDINGS)
TOLERANCE = 3e-6  # fp32, on outputs of size one to three


def frozen(module):
    return fill_backbone(module).requires_grad_(False)


def scaled_table():
    return frozen(BartScaledWordEmbedding(40, 16, 1, embed_scale=4.0))


def replaced(base, shapes):
    """Three other versions of a module."""

    def part(seed):
        tensors = {name: draw(f"{seed} {name}", shape, 0.3) for name, shape in shapes.items()}
        point = WORDS if isinstance(base, nn.Embedding) else PlugPoint(0, Site.QUERY)
        return Part("replacement", point, ReplacementSettings(), tensors)

    return base, [part(seed) for seed in range(3)]


def changed_table(magnitude):
    """Three low-rank changes of a table, of different ranks."""

    def part(seed):
        down, up = draw(f"{seed} A", (5 + seed, 40), 0.4), draw(f"{seed} B", (16, 5 + seed), 0.4)
        gain = {"magnitude": 1 + draw(f"{seed} m", (16,), 0.3)} if magnitude else {}
        settings = LoraEmbeddingSettings(1.5, magnitude)
        return Part("lora_embedding", WORDS, settings, {"down": down, "up": up} | gain)

    return scaled_table(), [part(seed) for seed in range(3)]


def new_vectors():
    """Three sets of tokens with vectors of their own."""
    parts = [
        Part(
            "token_rows",
            WORDS,
            TokenRowsSettings(ids),
            {"vectors": draw(f"vectors {ids}", (len(ids), 16), 0.5)},
        )
        for ids in ((3, 0, 39), (7,), (1, 2, 3, 4))
    ]
    return scaled_table(), parts


CASES = {
    "linear": lambda: replaced(frozen(nn.Linear(16, 24)), {"weight": (24, 16), "bias": (24,)}),
    "no bias": lambda: replaced(frozen(nn.Linear(16, 24, bias=False)), {"weight": (24, 16)}),
    "transposed": lambda: replaced(frozen(Conv1D(24, 16)), {"weight": (24, 16), "bias": (24,)}),
    "norm": lambda: replaced(frozen(nn.LayerNorm(16)), {"weight": (16,), "bias": (16,)}),
    "root mean square": lambda: replaced(frozen(T5LayerNorm(16)), {"weight": (16,)}),
    "table": lambda: replaced(scaled_table(), {"weight": (40, 16)}),
    "low rank": lambda: changed_table(False),
    "low rank with lengths": lambda: changed_table(True),
    "vectors": new_vectors,
}


def inputs(base, rows):
    """Token ids for a table, states for any other module."""
    states = draw("x", (rows.num_tokens, 16), 1.0)
    return states[:, 0].mul(100).abs().long() % 40 if isinstance(base, nn.Embedding) else states


def by_reference(base, parts, x, rows):
    outputs = []
    for part, segment, (a, b) in zip(parts, bounds(), token_bounds(rows), strict=True):
        method = METHODS[part.method]
        hidden = method.step(part, x[a:b], None, rows.slice(*segment))
        outputs.append(method.finish(part, base(x[a:b]), hidden, base))
    return torch.cat(outputs)


@pytest.mark.parametrize("kind", CASES)
def test_the_fast_path_equals_the_reference(kind):
    """Segments with scattered table rows give what each gives alone."""
    base, parts = CASES[kind]()
    rows = spans("packed")
    x, groups, table = inputs(base, rows), groups_of(rows), filled_table(parts, base)
    found = table.finish(groups, base(x), table.step(groups, table.before(groups, x), None))
    expected = by_reference(base, parts, x, rows)
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=1e-6)
    assert not torch.allclose(expected, base(x), atol=0.01)


@pytest.mark.parametrize("kind", CASES)
def test_the_first_row_is_the_frozen_module(kind):
    """Row 0 changes nothing."""
    base, parts = CASES[kind]()
    rows = spans("packed")
    x, groups, table = inputs(base, rows), groups_of(rows, (0, 0, 0)), filled_table(parts, base)
    found = table.finish(groups, base(x), table.step(groups, x, None))
    torch.testing.assert_close(found, base(x), atol=TOLERANCE, rtol=1e-6)


@pytest.mark.parametrize("kind", CASES)
def test_rows_that_change_hands_hold_nothing_of_the_adapter_before(kind):
    """A freed row is overwritten whole by the next that takes it."""
    base, parts = CASES[kind]()
    rows = spans("packed")
    x, groups = inputs(base, rows), groups_of(rows)
    outputs = []
    for table in (filled_table(parts, base), filled_table(parts[::-1], base)):
        for row, part in zip(TABLE_ROWS, parts, strict=True):
            table.clear(row)
            table.put(row, part)
        outputs.append(table.finish(groups, base(x), table.step(groups, x, None)))
    assert torch.equal(*outputs)


@pytest.mark.parametrize("kind", CASES)
def test_the_last_adapter_of_a_stack_or_their_sum_decides(kind):
    """Chains of two links are equal on both paths."""
    base, parts = CASES[kind]()
    rows, others = spans("packed"), parts[::-1]
    x, groups = inputs(base, rows), groups_of(rows)
    first, second = filled_table(parts, base), filled_table(others, base)
    found = second.finish(groups, base(x), second.step(groups, x, first.step(groups, x, None)))
    outputs = []
    for one, two, (a, b) in zip(parts, others, token_bounds(rows), strict=True):
        method = METHODS[one.method]
        hidden = method.step(two, x[a:b], method.step(one, x[a:b], None, rows), rows)
        outputs.append(method.finish(two, base(x[a:b]), hidden, base))
    torch.testing.assert_close(found, torch.cat(outputs), atol=TOLERANCE, rtol=1e-6)


@pytest.mark.parametrize("kind", CASES)
def test_tables_say_what_they_hold(kind):
    """Bytes on the device are counted, and equal keys share a table."""
    base, parts = CASES[kind]()
    table = filled_table(parts, base)
    assert table.num_bytes >= sum(part.num_bytes for part in parts) / 2
    method = METHODS[parts[0].method]
    assert len({method.table_key(part) for part in parts}) == 1
