"""What a lone adapter adds to a bfloat16 stream is rounded once, with the stream."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from adapter_runtime.methods.dora import DoraSettings
from adapter_runtime.methods.replacement import ReplacementSettings
from adapter_runtime.methods.table import METHODS
from adapter_runtime.types import Part, PlugPoint, Site
from tests.goldens.filling import draw
from tests.methods.test_fast_path import (
    BOTTLENECKS,
    CPU,
    POINT,
    TABLE_ROWS,
    bottleneck_part,
    filled_table,
    frozen_linear,
    groups_of,
    module_part,
    spans,
    token_bounds,
)


@pytest.mark.parametrize("kind", ("lora", "lora biased"))
def test_a_sum_has_the_digits_of_float32_before_it_is_rounded(kind):
    """In bfloat16 a lone LoRA gives the rounded sum that float32 gives."""
    rows, base = spans("packed"), frozen_linear(32, 48)
    table = filled_table([module_part(kind, seed, 32, 48) for seed in range(3)], base)
    x, groups = draw("x", (rows.num_tokens, 32), 1.0).bfloat16(), groups_of(rows)
    y = draw("y", (rows.num_tokens, 48), 1.0).bfloat16()
    exact = table.alone(groups, x.float(), y.float())
    assert torch.equal(table.alone(groups, x, y.clone()), exact.bfloat16())


def test_a_lone_dora_equals_one_that_is_walked_step_by_step():
    """Product, length and kept bias in one walk are those one after another."""
    rows, base = spans("packed"), frozen_linear(32, 48)
    settings, parts = DoraSettings(1.5, is_bias_scaled=False), []
    for seed in range(3):
        magnitude = 1 + draw(f"magnitude {seed}", (48,), 0.2).abs()
        tensors = module_part("lora", seed, 32, 48).tensors
        parts.append(Part("dora", POINT, settings, {**tensors, "magnitude": magnitude}))
    table, groups = filled_table(parts, base), groups_of(rows)
    x, y = draw("x", (rows.num_tokens, 32), 1.0), draw("y", (rows.num_tokens, 48), 1.0)
    expected = table.finish(groups, y.clone(), table.step(groups, x, None))
    assert torch.allclose(table.alone(groups, x, y), expected, atol=2e-6, rtol=1e-6)


@pytest.mark.parametrize("flags", ("plain", "pfeiffer", "parallel", "plus", "post_add"))
def test_a_lone_block_equals_one_that_is_walked_step_by_step(flags):
    """All sums as one are the sums one after another."""
    rows, norm = spans("packed"), nn.LayerNorm(32).requires_grad_(False)
    parts = [bottleneck_part(BOTTLENECKS[flags], seed, 32) for seed in range(3)]
    h, residual = (draw(name, (rows.num_tokens, 32), 1.0) for name in ("h", "residual"))
    table, groups = filled_table(parts, None), groups_of(rows)
    applied = table.apply(groups, table.enter(groups, h, residual, norm))
    expected = table.finish(groups, applied.h, residual, norm, h)
    assert torch.allclose(table.close(groups, h, residual, norm), expected, atol=2e-6, rtol=1e-6)


@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16), ids=str)
def test_a_replaced_norm_rounds_as_the_frozen_one_does(dtype):
    """Each segment's norm gives what a LayerNorm with these weights gives."""
    rows, width = spans("packed"), 32
    x, point = draw("x", (rows.num_tokens, width), 3.0).to(dtype), PlugPoint(0, Site.FFN_NORM)
    base = nn.LayerNorm(width, eps=1e-12, dtype=dtype).requires_grad_(False)
    method, expected, table = METHODS["replacement"], [], None
    for seed, (row, (start, end)) in enumerate(zip(TABLE_ROWS, token_bounds(rows), strict=True)):
        tensors = {name: draw(f"{name} {seed}", (width,), 1.0) for name in ("weight", "bias")}
        part = Part("replacement", point, ReplacementSettings(), tensors)
        table = table or method.new_table(part, base, CPU, dtype)
        table.put(row, part)
        own = nn.LayerNorm(width, eps=1e-12, dtype=dtype)
        own.load_state_dict(tensors)
        expected.append(own(x[start:end]))
    assert torch.equal(table.alone(groups_of(rows), x, x), torch.cat(expected))
