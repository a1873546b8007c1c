"""Random flags of every method: files read by the product against the equations in plain torch."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from adapter_runtime.backbone.routing import Groups
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.checkpoint.hub.adapterhub import read_adapterhub
from adapter_runtime.checkpoint.hub.named_configs import NAMED_CONFIGS
from adapter_runtime.ledger import Ledger
from adapter_runtime.methods.table import METHODS
from adapter_runtime.types import PlugPoint, Site
from tests.goldens import replay
from tests.goldens.filling import draw, fill_backbone
from tests.methods import plain

TOLERANCE = 5e-5  # fp32, relative to outputs of size ten and more
WIDTH = 32
LENGTHS = (4, 1, 7)
ROWS = RowSpans((0, 4, 5), LENGTHS, 12)
CPU = torch.device("cpu")
bounded = settings(max_examples=60, deadline=None, derandomize=True, database=None)
flag = st.booleans()


class Drawn(Ledger):
    """A file that holds whatever it is asked for."""

    def __init__(self) -> None:
        super().__init__({})
        self.made: dict[str, torch.Tensor] = {}

    def __contains__(self, name):
        return True

    def take(self, name, shape):
        """The tensor of that name and shape."""
        is_factor = name.endswith(("norm_before.weight", "m.weight", "scaling"))
        made = draw(name, tuple(shape), 0.3, 1.0 if is_factor else 0.0)
        return self.made.setdefault(name, made)


def read(config, facts=None):
    """The Parts of a configuration by point, and the tensors that they were made of."""
    facts, drawn = facts or replay.engine("bert").backbone.facts, Drawn()
    full = {"config": config, "name": "A", "version": "adapters.1.3.0"}
    reading = read_adapterhub(full, drawn, facts)
    assert not drawn.problems()
    return {part.point: part for part in reading.parts}, drawn.made


def cut(x):
    """The rows of a stream."""
    starts = zip(ROWS.starts, LENGTHS, strict=True)
    return [x[start : start + length] for start, length in starts]


def filled(part, base):
    """A device table with the Part in one of its rows, and the whole stream as one segment."""
    table = METHODS[part.method].new_table(part, base, CPU, torch.float32)
    table.put(3, part)
    return table, Groups(0, ROWS.num_tokens, (3,), (ROWS.num_tokens,), ROWS, CPU)


def at_module(part, x, base):
    """The output of a module point, by the fast path and by the reference."""
    method = METHODS[part.method]
    table, groups = filled(part, base)
    fast = table.finish(groups, base(x).clone(), table.step(groups, x, None))
    reference = method.finish(part, base(x), method.step(part, x, None, ROWS), base)
    return fast, reference


def at_sublayer(part, h, inp, norm):
    """The output of a sublayer point, by the fast path and by the reference."""
    method = METHODS[part.method]
    table, groups = filled(part, None)
    made = table.apply(groups, table.enter(groups, h, inp, norm)).h
    fast = table.finish(groups, made, inp, norm, h)
    made = method.apply(part, method.enter(part, h, inp, norm), ROWS).h
    return fast, method.finish(part, made, inp, norm, h)


def close(found, expected):
    """Both paths against the equations."""
    scale = max(1.0, float(expected.abs().max()))
    return all(float((one - expected).abs().max()) < TOLERANCE * scale for one in found)


def frozen(kind, *sizes, **options):
    return fill_backbone(kind(*sizes, **options)).requires_grad_(False)


bottlenecks = st.fixed_dictionaries(
    {
        "mh_adapter": st.just(False),
        "output_adapter": st.just(True),
        "reduction_factor": st.sampled_from((2, 4, 8.0, 1, 0.5)),
        "non_linearity": st.sampled_from(
            ("relu", "swish", "tanh", "gelu", "gelu_new", "leakyrelu")
        ),
        "is_parallel": flag,
        "original_ln_before": flag,
        "original_ln_after": flag,
        "residual_before_ln": st.sampled_from((True, False, "post_add")),
        "ln_before": flag,
        "ln_after": flag,
        "adapter_residual_before_ln": flag,
        "use_gating": flag,
        "scaling": st.sampled_from((1.0, 2.5, "learned", "channel")),
        "phm_layer": flag,
        "phm_dim": st.sampled_from((1, 2, 4)),
        "phm_rank": st.sampled_from((1, 3)),
        "phm_bias": flag,
        "shared_phm_rule": flag,
        "factorized_phm_rule": flag,
        "shared_W_phm": flag,
        "factorized_phm_W": flag,
    }
)


@bounded
@given(bottlenecks)
def test_bottlenecks_of_any_flags(config):
    """Sequential and parallel blocks, of plain linears and of Kronecker products."""
    if config["residual_before_ln"] == "post_add":
        config |= {"original_ln_before": True}
    parts, tensors = read(config)
    h, inp = draw("h", (12, WIDTH), 1.0), draw("inp", (12, WIDTH), 1.0)
    norm = frozen(nn.LayerNorm, WIDTH, eps=1e-12)
    own = plain.below(tensors, "encoder.layer.0.output.adapters.A")
    if config["ln_before"]:
        own |= {
            f"adapter_norm_before.{kind}": own[f"adapter_down.0.{kind}"]
            for kind in ("weight", "bias")
        }
    shared = plain.below(tensors, "shared_parameters.A")
    rows = zip(cut(h), cut(inp), strict=True)
    expected = torch.cat([plain.bottleneck(config, own, shared, *row, norm) for row in rows])
    assert close(at_sublayer(parts[PlugPoint(0, Site.FFN)], h, inp, norm), expected)


products = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(("lora", "ia3", "dora", "vera", "dvora", "mtl_lora")),
        "r": st.sampled_from((1, 3, 8, 9)),
        "alpha": st.sampled_from((1, 8, 2.5)),
        "use_gating": flag,
        "n_up_projection": st.sampled_from((1, 3)),
        "weights_sharpness": st.sampled_from((0.05, 0.7)),
    }
)


def lora_config(chosen) -> dict[str, Any]:
    """A whole configuration of one of LoRA's kin."""
    config = dict(NAMED_CONFIGS[chosen.pop("kind")])
    known = {key: value for key, value in chosen.items() if key in config}
    return config | known | ({"r": 1} if config["composition_mode"] == "scale" else {})


@bounded
@given(products)
def test_low_rank_products_of_any_flags(chosen):
    """LoRA, (IA)³, DoRA, VeRA, both at once, and MTL-LoRA, gated or scaled."""
    config = lora_config(dict(chosen)) | {"attn_matrices": ["q", "k"]}
    parts, tensors = read(config)
    base, x = frozen(nn.Linear, WIDTH, WIDTH), draw("x", (12, WIDTH), 1.0)
    own = plain.below(tensors, "encoder.layer.0.attention.self.key.loras.A")
    shared = plain.below(tensors, "shared_parameters.A")
    rows = [plain.linear(config, own, shared, row, base.weight, base.bias) for row in cut(x)]
    assert close(at_module(parts[PlugPoint(0, Site.KEY)], x, base), torch.cat(rows))


@bounded
@given(products, st.sets(st.sampled_from("qkv"), min_size=1), flag)
def test_merged_projections_of_any_flags(chosen, matrices, is_reversed):
    """LoRA and (IA)³ in GPT-2's projection, for any of its thirds in any order."""
    kind = "ia3" if chosen["kind"] in ("ia3", "vera") else "lora"
    config = lora_config(dict(chosen) | {"kind": kind})
    config["attn_matrices"] = sorted(matrices, reverse=is_reversed)
    parts, tensors = read(config, replay.engine("gpt2").backbone.facts)
    base, x = frozen(nn.Linear, WIDTH, 3 * WIDTH), draw("x", (12, WIDTH), 1.0)
    own = plain.below(tensors, "h.1.attn.c_attn.loras.A")
    rows = [plain.merged(config, own, row, base.weight, base.bias) for row in cut(x)]
    assert close(at_module(parts[PlugPoint(1, Site.QKV)], x, base), torch.cat(rows))


refts = st.fixed_dictionaries(
    {
        "prefix_positions": st.integers(0, 8),
        "suffix_positions": st.integers(0, 8),
        "r": st.sampled_from((1, 3, 9)),
        "tied_weights": flag,
        "non_linearity": st.sampled_from((None, "relu", "gelu")),
        "subtract_projection": flag,
    }
)


@bounded
@given(refts)
def test_edits_of_any_positions(chosen):
    """Any number of positions at both ends of rows of one, four and seven tokens."""
    config = NAMED_CONFIGS["noreft"] | chosen
    parts, tensors = read(config)
    states = draw("states", (12, WIDTH), 1.0)
    own = plain.below(tensors, "encoder.layer.1.reft_layer.refts.A")
    expected = torch.cat([plain.reft(config, own, row) for row in cut(states)])
    point = PlugPoint(1, Site.LAYER)
    assert close(at_module(parts[point], states, nn.Identity()), expected)
