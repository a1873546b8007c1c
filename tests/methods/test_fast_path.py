"""The fast path of every method equals its reference, however segments and rows lie."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from adapter_runtime.backbone.routing import Groups
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.methods.bias import BiasSettings
from adapter_runtime.methods.bottleneck import BottleneckSettings
from adapter_runtime.methods.ia3 import Ia3Settings
from adapter_runtime.methods.ia3_input import Ia3InputSettings
from adapter_runtime.methods.lora import LoraSettings
from adapter_runtime.methods.stacks import Stacked, bucket
from adapter_runtime.methods.table import METHODS
from adapter_runtime.types import Part, PlugPoint, Site
from tests.goldens.filling import draw, fill_backbone

TOLERANCE = 2e-6  # fp32, on outputs of size one to three
CPU = torch.device("cpu")
POINT, SUBLAYER = PlugPoint(0, Site.QUERY), PlugPoint(0, Site.FFN)
WIDTHS = {"even": (32, 48), "odd": (30, 18)}
"""In and out; odd widths are not aligned for the grouped product."""

# Rows in a padded stream of six tokens each; the packed stream is what remains of them.
LENGTHS = (3, 6, 1, 4, 5)
SEGMENTS = (2, 1, 2)
"""Rows per segment."""
TABLE_ROWS = (4, 1, 7)


def spans(layout):
    if layout == "padded":
        return RowSpans(range(0, 30, 6), LENGTHS, 30)
    starts = [sum(LENGTHS[:row]) for row in range(len(LENGTHS))]
    return RowSpans(starts, LENGTHS, sum(LENGTHS))


def bounds():
    """First and last-plus-one row of each segment."""
    stops = [sum(SEGMENTS[: number + 1]) for number in range(len(SEGMENTS))]
    return list(pairwise((0, *stops)))


def token_bounds(rows):
    stops = [*rows.starts, rows.num_tokens]
    return [(stops[first], stops[stop]) for first, stop in bounds()]


def groups_of(rows, table_rows=TABLE_ROWS):
    ends = [stop for _, stop in token_bounds(rows)]
    return Groups(0, rows.num_tokens, table_rows, ends, rows, CPU)


def module_part(kind, seed, width_in, width_out):
    """A Part of a method at a linear."""

    def make(name, *shape):
        return draw(f"{kind} {seed} {name}", shape, 0.2)

    gate = {"gate_weight": make("gate", 1, width_in), "gate_bias": make("bias", 1)}
    rank = 5 + seed
    factors = {"down": make("down", rank, width_in), "up": make("up", width_out, rank)}
    scale = 1 + make("scale", width_out)
    settings, tensors = {
        "lora": (LoraSettings(1.5 + seed), factors),
        "lora gated": (LoraSettings(1.0, use_gating=True), factors | gate),
        "lora biased": (
            LoraSettings(0.5, has_bias=True),
            factors | {"bias": make("lora bias", width_out)},
        ),
        "ia3": (Ia3Settings(2.0), {"scale": scale}),
        "ia3 gated": (Ia3Settings(2.0, use_gating=True), {"scale": scale} | gate),
        "ia3_input": (Ia3InputSettings(), {"scale": 1 + make("scale", width_in)}),
        "bias": (BiasSettings(), {"bias": make("new bias", width_out)}),
    }[kind]
    return Part(kind.split()[0], POINT, settings, tensors)


MODULE_KINDS = ("lora", "lora gated", "lora biased", "ia3", "ia3 gated", "ia3_input", "bias")


def frozen_linear(width_in, width_out):
    return fill_backbone(nn.Linear(width_in, width_out)).requires_grad_(False)


def run_reference(parts, base, x, rows):
    """Each segment alone, link by link."""
    outputs = []
    for part, (first, stop), (begin, end) in zip(parts, bounds(), token_bounds(rows), strict=True):
        method, span = METHODS[part.method], rows.slice(first, stop)
        changed = method.before(part, x[begin:end])
        hidden = method.step(part, changed, None, span)
        outputs.append(method.finish(part, base(changed), hidden, base))
    return torch.cat(outputs)


def filled_table(parts, base):
    table = METHODS[parts[0].method].new_table(parts[0], base, CPU, torch.float32)
    for row, part in zip(TABLE_ROWS, parts, strict=True):
        table.put(row, part)
    return table


def real(rows, values):
    """Only the tokens that answers depend on."""
    return values if rows.real_tokens is None else values[rows.real_tokens]


@pytest.mark.parametrize("layout", ("packed", "padded"))
@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("kind", MODULE_KINDS)
def test_module_table_equals_reference(kind, widths, layout):
    """Segments with scattered table rows and different ranks give what each gives alone."""
    width_in, width_out = WIDTHS[widths]
    rows, base = spans(layout), frozen_linear(width_in, width_out)
    parts = [module_part(kind, seed, width_in, width_out) for seed in range(3)]
    x = draw("x", (rows.num_tokens, width_in), 1.0)
    expected = run_reference(parts, base, x, rows)
    table, groups = filled_table(parts, base), groups_of(rows)
    changed = table.before(groups, x)
    found = table.finish(groups, base(changed), table.step(groups, changed, None))
    assert torch.allclose(real(rows, found), real(rows, expected), atol=TOLERANCE, rtol=1e-6)


@pytest.mark.parametrize("kind", MODULE_KINDS)
def test_identity_row_changes_nothing(kind):
    """Row 0 leaves the module's output as it is."""
    rows, base = spans("packed"), frozen_linear(32, 48)
    parts = [module_part(kind, seed, 32, 48) for seed in range(3)]
    x = draw("x", (rows.num_tokens, 32), 1.0)
    table, groups = filled_table(parts, base), groups_of(rows, (0, 0, 0))
    changed = table.before(groups, x)
    found = table.finish(groups, base(changed), table.step(groups, changed, None))
    assert torch.allclose(found, base(x), atol=TOLERANCE)


@pytest.mark.parametrize("kind", MODULE_KINDS)
def test_nothing_is_left_of_whoever_had_a_row_before(kind):
    """Wider Parts were in the rows, whose next owners give what they give alone."""
    rows, base = spans("packed"), frozen_linear(32, 48)
    parts = [module_part(kind, seed, 32, 48) for seed in range(3)]
    x = draw("x", (rows.num_tokens, 32), 1.0)
    table, groups = filled_table([module_part(kind, 3, 32, 48)] * 3, base), groups_of(rows)
    for row, part in zip(TABLE_ROWS, parts, strict=True):
        table.clear(row)
        table.put(row, part)
    changed = table.before(groups, x)
    found = table.finish(groups, base(changed), table.step(groups, changed, None))
    expected = run_reference(parts, base, x, rows)
    assert torch.allclose(found, expected, atol=TOLERANCE, rtol=1e-6)


@pytest.mark.parametrize("first", ("lora", "ia3"))
@pytest.mark.parametrize("second", ("lora gated", "ia3 gated"))
def test_chains_compose_alike_on_both_paths(first, second):
    """A stack's second link works on what the first one made."""
    rows, base = spans("padded"), frozen_linear(32, 32)
    x, groups = draw("x", (rows.num_tokens, 32), 1.0), groups_of(rows)
    chain = [[module_part(kind, seed, 32, 32) for seed in range(3)] for kind in (first, second)]
    hidden = None
    for parts in chain:
        hidden = filled_table(parts, base).step(groups, x, hidden)
    for number, (segment, (begin, end)) in enumerate(
        zip(bounds(), token_bounds(rows), strict=True)
    ):
        link = None
        for parts in chain:
            method = METHODS[parts[number].method]
            link = method.step(parts[number], x[begin:end], link, rows.slice(*segment))
        mask = rows.slice(*segment).real_tokens
        assert torch.allclose(hidden[begin:end][mask], link[mask], atol=TOLERANCE, rtol=1e-6)


BOTTLENECKS = {
    "plain": {},
    "pfeiffer": {"original_ln_before": True},
    "norms": {"ln_before": True, "ln_after": True, "original_ln_before": True},
    "gated": {"use_gating": True, "ln_after": True, "adapter_residual_before_ln": True},
    "parallel": {"is_parallel": True, "scaling": 4.0},
    "gated parallel": {"is_parallel": True, "use_gating": True, "ln_before": True},
    "plus": {
        "original_ln_before": True,
        "original_ln_after": False,
        "residual_before_ln": False,
    },
    "post_add": {"original_ln_before": True, "residual_before_ln": "post_add"},
}


def bottleneck_part(flags, seed, wide, scaling=None):
    settings = BottleneckSettings(activation="gelu", **flags)
    narrow = 5 + seed
    shapes = {
        "down_weight": (narrow, wide),
        "down_bias": (narrow,),
        "up_weight": (wide, narrow),
        "up_bias": (wide,),
    }
    if settings.use_gating:
        shapes |= {"gate_weight": (1, wide), "gate_bias": (1,)}
    for name in ("before", "after"):
        if getattr(settings, f"ln_{name}"):
            shapes |= {f"norm_{name}_weight": (wide,), f"norm_{name}_bias": (wide,)}
    if scaling:
        shapes["scaling"] = (scaling,)
    tensors = {name: draw(f"{seed} {name}", shape, 0.2) for name, shape in shapes.items()}
    return Part("bottleneck", SUBLAYER, settings, tensors)


@pytest.mark.parametrize("layout", ("packed", "padded"))
@pytest.mark.parametrize("scaling", (None, 1, 32), ids=["fixed", "learned", "channel"])
@pytest.mark.parametrize("flags", BOTTLENECKS)
def test_bottleneck_table_equals_reference(flags, scaling, layout):
    """Every flag, with scaling and the inner norm folded into the stacked weights."""
    rows, norm, method = spans(layout), nn.LayerNorm(32), METHODS["bottleneck"]
    parts = [bottleneck_part(BOTTLENECKS[flags], seed, 32, scaling) for seed in range(3)]
    h, residual = (draw(name, (rows.num_tokens, 32), 1.0) for name in ("h", "residual"))
    table, groups = filled_table(parts, None), groups_of(rows)
    applied = table.apply(groups, table.enter(groups, h, residual, norm))
    found = table.finish(groups, applied.h, residual, norm, h)
    outputs = []
    for part, segment, (a, b) in zip(parts, bounds(), token_bounds(rows), strict=True):
        entry = method.enter(part, h[a:b], residual[a:b], norm)
        applied = method.apply(part, entry, rows.slice(*segment))
        outputs.append(method.finish(part, applied.h, residual[a:b], norm, h[a:b]))
    expected = torch.cat(outputs)
    assert torch.allclose(real(rows, found), real(rows, expected), atol=TOLERANCE, rtol=1e-6)


def test_equal_keys_mean_equal_tables():
    """Parts share a table when only widths within a bucket, scales or scaling differ."""
    lora, bottleneck = METHODS["lora"], METHODS["bottleneck"]
    keys = [lora.table_key(module_part("lora", seed, 32, 48)) for seed in (0, 1, 2, 9)]
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert lora.table_key(module_part("lora gated", 0, 32, 48)) != keys[0]
    plain = bottleneck.table_key(bottleneck_part({}, 0, 32))
    assert plain == bottleneck.table_key(bottleneck_part({"scaling": 3.0}, 1, 32))
    assert plain != bottleneck.table_key(bottleneck_part({"ln_after": True}, 0, 32))


def test_growing_leaves_the_old_stack_to_its_readers():
    """A row beyond the end makes a new tensor; what a forward holds stays whole."""
    stack = Stacked((3,), CPU, torch.float32)
    stack.put(1, torch.ones(3))
    held = stack.data
    stack.put(9, torch.full((2,), 5.0))
    assert stack.data is not held
    assert stack.data[1].tolist() == [1.0, 1.0, 1.0]
    assert stack.data[9].tolist() == [5.0, 5.0, 0.0]


def test_a_stack_has_few_free_rows():
    """What a stack of a hundred rows keeps free is an eighth at most."""
    stack = Stacked((3,), CPU, torch.float32)
    for row in range(1, 101):
        stack.put(row, torch.full((3,), float(row)))
    assert len(stack.data) <= 113
    assert stack.data[:101, 0].tolist() == list(range(101))


@pytest.mark.parametrize(("width", "padded"), ((1, 4), (8, 8), (9, 12), (24, 24), (65, 72)))
def test_buckets_are_narrow(width, padded):
    """Widths pad to the next multiple of 4, wide ones of 8."""
    assert bucket(width) == padded
