"""GPT-2, Llama, Mistral and Qwen against the plain Hugging Face models, row by row."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from transformers import AutoConfig, AutoModel

from adapter_runtime.backbone.attention import Sight
from adapter_runtime.backbone.backbone import Backbone
from adapter_runtime.backbone.load import load_backbone
from adapter_runtime.backbone.routing import CountedPrefix
from adapter_runtime.engine.forward import BatchRunner, Job
from adapter_runtime.residency.slots import SlotPool
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import PlugPoint, Site
from tests.backbone.tiny import random_row
from tests.engine_forward.collect import Collect, largest_gap
from tests.goldens.filling import fill_backbone
from tests.goldens.models import MODELS
from tests.goldens.replay import saved_backbone

DECODERS = ("gpt2", "gpt2-padded", "llama", "mistral", "qwen2", "qwen3")
LENGTHS = (5, 1, 33, 5, 9, 60, 2, 12)
TOLERANCE = 1e-5  # fp32


def opened(name: str) -> Backbone:
    """A filled tiny decoder as a Backbone."""
    return load_backbone(Folder(saved_backbone(name), name), torch.device("cpu"), torch.float32)


@cache
def plain(name: str) -> torch.nn.Module:
    """The same decoder as Hugging Face runs it."""
    model = MODELS[name]
    config = AutoConfig.for_model(model.model_type, **model.config)
    return fill_backbone(AutoModel.from_config(config, attn_implementation="eager"))


def states(name: str, row) -> torch.Tensor:
    """What the plain model answers for one row alone."""
    with torch.no_grad():
        return plain(name)(input_ids=torch.tensor([row.input_ids])).last_hidden_state[0]


@pytest.mark.parametrize("num_streams", (1, 2))
@pytest.mark.parametrize("name", DECODERS)
def test_rows_of_a_batch_equal_the_plain_model_on_each_row_alone(name, num_streams):
    """Causal masks and windows act inside each row of a packed batch, for all lengths."""
    backbone = opened(name)
    slots = SlotPool({}, backbone.bases, backbone.device, backbone.dtype)
    runner = BatchRunner(backbone, slots, num_streams)
    rows = [random_row(length, seed) for seed, length in enumerate(LENGTHS)]
    found = Collect()
    report = runner.run([Job(row, None) for row in rows], found)
    runner.close()
    assert not report.errors
    for number, row in enumerate(rows):
        assert largest_gap(found.states[number], states(name, row)) <= TOLERANCE


@pytest.mark.parametrize("name", DECODERS)
def test_every_linear_of_a_layer_is_a_plug_point_with_the_shape_of_a_linear(name):
    """Facts give `(out, in)` for every linear, however the model stores its weights."""
    facts = opened(name).facts
    assert set(facts.linears) <= set(facts.modules)
    assert facts.shapes[PlugPoint(0, Site.FFN_IN)] == (64, 32)
    assert facts.shapes[PlugPoint(0, Site.FFN_OUT)] == (32, 64)
    assert facts.summary == "last"


def test_the_merged_projection_has_queries_keys_and_values():
    """GPT-2 computes all three in one product."""
    facts = opened("gpt2").facts
    assert facts.shapes[PlugPoint(0, Site.QKV)] == (96, 32)
    assert PlugPoint(0, Site.QUERY) not in facts.shapes


def test_masks_are_never_as_wide_as_the_stream():
    """A row without a window needs no mask; one with a window has its own length's."""
    assert Sight(True, None).of_row(500, None, torch.device("cpu")) == (None, True)
    assert Sight(True, 600).of_row(500, None, torch.device("cpu")) == (None, True)
    mask, is_causal = Sight(True, 4).of_row(9, None, torch.device("cpu"))
    assert mask.shape == (9, 9)
    assert not is_causal
    assert mask[8].tolist() == [False] * 5 + [True] * 4


def test_a_past_prefix_is_seen_by_every_token():
    """Keys of the past stand before the causal mask."""
    prefix = (torch.zeros(2, 3, 8), torch.zeros(2, 3, 8))
    mask, _ = Sight(True, None).of_row(2, prefix, torch.device("cpu"))
    assert mask.tolist() == [[True] * 4 + [False], [True] * 5]


def test_a_counted_prefix_takes_the_causal_masks_first_places():
    """The library's mask counts prefixes as tokens, and hides them where it is written out."""
    prefix = CountedPrefix(torch.zeros(2, 3, 8), torch.zeros(2, 3, 8))
    assert Sight(True, None).of_row(2, prefix, torch.device("cpu")) == (None, True)
    assert Sight(True, None).visible(prefix, 2) is prefix
    assert Sight(True, 4).visible(prefix, 3) is prefix
    assert Sight(True, 4).visible(prefix, 4) is None
