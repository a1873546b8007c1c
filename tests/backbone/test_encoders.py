"""ALBERT, DeBERTa, ModernBERT, ESM and others against the plain Hugging Face models."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from transformers import AutoConfig, AutoModel

from adapter_runtime.backbone.backbone import Backbone
from adapter_runtime.backbone.load import load_backbone
from adapter_runtime.backbone.routing import Routing
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.engine.forward import BatchRunner, Job
from adapter_runtime.errors import BackboneError
from adapter_runtime.residency.slots import SlotPool
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import PlugPoint, Row, Site
from tests.backbone.tiny import random_row
from tests.engine_forward.collect import Collect, largest_gap
from tests.goldens.filling import fill_backbone
from tests.goldens.models import MODELS
from tests.goldens.replay import saved_backbone

ENCODERS = (
    "albert",
    "albert-groups",
    "deberta",
    "deberta-v2",
    "deberta-v3",
    "modernbert",
    "camembert",
    "xlm-roberta-xl",
    "esm",
    "esm-absolute",
    "nomic",
)
LENGTHS = (5, 1, 33, 5, 9, 60, 2, 12)
TOLERANCE = 1e-5  # fp32


@cache
def opened(name: str) -> Backbone:
    """A filled tiny encoder as a Backbone."""
    return load_backbone(Folder(saved_backbone(name), name), torch.device("cpu"), torch.float32)


@cache
def plain(name: str) -> torch.nn.Module:
    """The same encoder as Hugging Face runs it."""
    model = MODELS[name]
    config = AutoConfig.for_model(model.model_type, **model.config)
    return fill_backbone(AutoModel.from_config(config, attn_implementation="eager"))


def output(name: str, row: Row):
    """What the plain model answers for one row alone."""
    inputs = {"input_ids": torch.tensor([row.input_ids])}
    if row.type_ids is not None:
        inputs["token_type_ids"] = torch.tensor([row.type_ids])
    with torch.no_grad():
        return plain(name)(**inputs)


def rows_of(name: str) -> list[Row]:
    """Rows of many lengths, up to the longest that the encoder takes."""
    lengths = (*LENGTHS, opened(name).max_tokens)
    has_types = MODELS[name].has_types
    return [random_row(length, seed, has_types=has_types) for seed, length in enumerate(lengths)]


@pytest.mark.parametrize("num_streams", (1, 2))
@pytest.mark.parametrize("name", ENCODERS)
def test_rows_of_a_batch_equal_the_plain_model_on_each_row_alone(name, num_streams):
    """Attention, windows, relative and rotary positions act inside each row of a packed batch."""
    backbone = opened(name)
    slots = SlotPool({}, backbone.bases, backbone.device, backbone.dtype)
    runner = BatchRunner(backbone, slots, num_streams)
    rows = rows_of(name)
    found = Collect()
    report = runner.run([Job(row, None) for row in rows], found)
    runner.close()
    assert not report.errors
    for number, row in enumerate(rows):
        expected = output(name, row).last_hidden_state[0]
        assert largest_gap(found.states[number], expected) <= TOLERANCE


@pytest.mark.parametrize("name", ("albert", "camembert", "xlm-roberta-xl", "esm"))
def test_the_pooler_equals_the_plain_models(name):
    """Every family's pooler gives the plain model's pooled output."""
    backbone, row = opened(name), random_row(7, 3)
    expected = output(name, row)
    first = expected.last_hidden_state[:, 0]
    routing = Routing(backbone.layout, RowSpans([0], [1], 1), {})
    assert largest_gap(backbone.pool(first, routing), expected.pooler_output) <= TOLERANCE


@pytest.mark.parametrize("name", ENCODERS)
def test_every_linear_is_a_plug_point(name):
    """`all-linear` finds a place for each of its matrices."""
    facts = opened(name).facts
    assert set(facts.linears) - set(facts.modules) <= {"contact_head.regression"}


def test_layers_that_share_weights_are_one_layer():
    """ALBERT's layers count once each, however often they run."""
    assert opened("albert").facts.num_layers == 1
    assert opened("albert-groups").facts.num_layers == 4
    assert opened("albert-groups").facts.layer_paths[1].endswith("groups.0.albert_layers.1")


def test_embeddings_are_narrower_than_the_layers_behind_their_projection():
    """ALBERT's embedding output is a point before the projection."""
    facts = opened("albert").facts
    assert (facts.embedding_size, facts.hidden_size) == (16, 32)
    assert facts.shapes[PlugPoint(-1, Site.EMBEDDINGS_PROJECTION)] == (32, 16)


@pytest.mark.parametrize("name", ("esm", "esm-absolute"))
def test_a_masked_token_scales_its_own_row_only(name):
    """ESM makes up for masked tokens by their share of the row, not of the stream."""
    backbone = opened(name)
    masked, other = Row((5, 98, 7, 98, 9)), random_row(30, 4)
    spans = RowSpans([0, 5], [5, 30], 35)
    with torch.inference_mode():
        states = backbone.forward([masked, other], Routing(backbone.layout, spans, {}))
    assert largest_gap(states[:5], output(name, masked).last_hidden_state[0]) <= TOLERANCE
    assert largest_gap(states[5:], output(name, other).last_hidden_state[0]) <= TOLERANCE


def test_heads_that_talk_to_each_other_are_refused(tmp_path):
    """A DeBERTa whose heads mix their scores would be computed wrongly."""
    model = MODELS["deberta"]
    config = AutoConfig.for_model(model.model_type, **model.config, talking_head=True)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match="talking_head"):
        load_backbone(Folder(tmp_path, "talking"), torch.device("cpu"), torch.float32)


DEBERTAS = {
    "v1 without relative positions": ("deberta", {"relative_attention": False}),
    "v1 with positions in contents only": ("deberta", {"pos_att_type": ["c2p"]}),
    "v1 with relative positions unused": ("deberta", {"pos_att_type": None}),
    "v2 without relative positions": ("deberta-v2", {"relative_attention": False}),
    "v2 with buckets and linears of its own": ("deberta-v2", {"position_buckets": 8}),
    "v2 with narrow embeddings": ("deberta-v2", {"embedding_size": 16}),
    "v3 with a convolution": ("deberta-v3", {"conv_kernel_size": 5}),
    "v3 with contents in positions only": ("deberta-v3", {"pos_att_type": "p2c"}),
}


@pytest.mark.parametrize("variant", DEBERTAS)
def test_every_variant_of_deberta_equals_the_plain_model(variant, tmp_path):
    """Public checkpoints differ in what their attention knows of positions."""
    name, changes = DEBERTAS[variant]
    model = MODELS[name]
    config = AutoConfig.for_model(model.model_type, **(model.config | changes))
    fill_backbone(AutoModel.from_config(config)).save_pretrained(tmp_path)
    backbone = load_backbone(Folder(tmp_path, name), torch.device("cpu"), torch.float32)
    rows = [random_row(length, length) for length in (30, 7)]
    with torch.inference_mode():
        spans = RowSpans([0, 30], [30, 7], 37)
        states = backbone.forward(rows, Routing(backbone.layout, spans, {}))
    reference = AutoModel.from_pretrained(tmp_path, attn_implementation="eager").eval()
    for row, start in zip(rows, spans.starts, strict=True):
        with torch.no_grad():
            expected = reference(input_ids=torch.tensor([row.input_ids])).last_hidden_state[0]
        assert largest_gap(states[start : start + len(expected)], expected) <= TOLERANCE


@pytest.mark.parametrize("name", ENCODERS)
def test_rows_run_in_bfloat16(name):
    """Half the bytes, near enough to float32."""
    folder = Folder(saved_backbone(name), name)
    backbone = load_backbone(folder, torch.device("cpu"), torch.bfloat16)
    row = random_row(9, 1)
    with torch.inference_mode():
        spans = RowSpans([0], [9], 9)
        states = backbone.forward([row], Routing(backbone.layout, spans, {}))
    assert states.dtype == torch.bfloat16
    assert largest_gap(states.float(), output(name, row).last_hidden_state[0]) < 0.3
