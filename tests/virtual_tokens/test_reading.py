"""Files of virtual tokens and invertible blocks: old names, odd sizes, and anything at random."""

from __future__ import annotations

import json
from contextlib import suppress

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter_runtime.checkpoint.hub.adapterhub import open_ledger, read_adapterhub
from adapter_runtime.checkpoint.peft.prompts import PROMPT_TYPES, read_prompt_learning
from adapter_runtime.heads.base import HeadStates
from adapter_runtime.heads.embedding import EmbeddingHead, EmbeddingSettings
from adapter_runtime.ledger import Ledger
from adapter_runtime.methods.configuration import BadConfig
from adapter_runtime.types import HeadSpec, Row
from tests.goldens import replay
from tests.virtual_tokens.samples import Changed, examine, folder

BOUNDED = settings(max_examples=150, deadline=None, derandomize=True)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 6),
    st.sampled_from((10**9, 10**30, 0.5, float("inf"), "3", "nice", "glow", "tanh", "prefix")),
    st.lists(st.integers(-1, 2), max_size=2),
    st.dictionaries(st.sampled_from(("default", "0")), st.integers(0, 3), max_size=2),
)
HUB_KEYS = (
    "architecture prefix_length bottleneck_size non_linearity flat use_gating shared_gating "
    "encoder_prefix cross_prefix leave_out prompt_length combine inv_adapter "
    "inv_adapter_reduction_factor"
)
PEFT_KEYS = (
    "num_virtual_tokens token_dim num_layers num_attention_heads num_transformer_submodules "
    "num_tasks num_ranks task_type"
)


def test_first_language_adapters_are_read_under_their_old_names(tmp_path):
    """Names of 1.x, a nested block and no version give the same Parts as today's file."""
    copy = Changed("invertible", tmp_path)

    def rename(tensors):
        renames = {
            "invertible_adapters": "invertible_lang_adapters",
            "output.adapters": "output.layer_text_lang_adapters",
        }
        for name in list(tensors):
            old = name
            for new, former in renames.items():
                old = old.replace(new, former)
            tensors[old] = tensors.pop(name)

    def nest(config):
        inner = config["config"]
        block = {"block_type": "nice", "non_linearity": "gelu", "reduction_factor": 2}
        del config["version"], inner["inv_adapter"], inner["inv_adapter_reduction_factor"]
        inner["invertible_adapter"] = block
        config["type"] = "text_lang"

    copy.tensors(rename)
    found = examine(copy.config(nest)).adapter
    now = examine(folder("invertible")).adapter
    assert [part.point for part in found.parts] == [part.point for part in now.parts]
    for old, new in zip(found.parts, now.parts, strict=True):
        assert old.settings == new.settings
        assert all(torch.equal(old.tensors[key], new.tensors[key]) for key in new.tensors)


def test_sentence_means_count_virtual_tokens():
    """Sentence embeddings over a prompt are means of prompt and text, as they were trained."""
    hidden = torch.arange(10.0).reshape(5, 2)
    row = Row((5, 5, 5, 6, 7), virtual=(0, 2))
    states = HeadStates(
        hidden, (0,), (5,), lambda: hidden, [row], lambda x: x, vocabulary=torch.ones(1, 2)
    )
    spec = HeadSpec("embedding", EmbeddingSettings(pooling="mean"))
    (found,) = EmbeddingHead().forward(spec, {}, states, [True])
    assert found["vector"].tolist() == hidden.mean(0).tolist()
    assert found["hidden"].shape == (3, 2)


@BOUNDED
@given(
    st.sampled_from(("prefix", "prefix_gated", "prompt", "invertible")),
    st.dictionaries(st.sampled_from(HUB_KEYS.split()), VALUES, max_size=4),
)
def test_any_configuration_is_read_or_refused_by_name(name, changes):
    """Whatever a configuration says, there are Parts that hold what the file holds, or problems."""
    facts = replay.engine("bert").backbone.facts
    config = json.loads((folder(name) / "adapter_config.json").read_text())
    config["config"] |= changes
    tensors = torch.load(folder(name) / "pytorch_adapter.bin", weights_only=True)
    ledger = open_ledger(tensors, facts)
    reading = read_adapterhub(config, ledger, facts)
    assert reading.parts or ledger.problems()


@BOUNDED
@given(
    st.sampled_from(tuple(PROMPT_TYPES)),
    st.dictionaries(st.sampled_from(PEFT_KEYS.split()), VALUES, max_size=5),
    st.tuples(st.integers(0, 4), st.sampled_from((0, 32, 128))),
)
def test_any_prompt_of_peft_is_read_or_refused_by_name(kind, changes, shape):
    """Sizes that a file claims are checked against its one tensor before anything is computed."""
    facts = replay.engine("bert").backbone.facts
    ledger = Ledger({"prompt_embeddings": torch.zeros(shape)})
    config = {"peft_type": kind, "task_type": "SEQ_CLS", "num_virtual_tokens": 3} | changes
    with suppress(BadConfig):
        assert read_prompt_learning(config, ledger, facts) or ledger.problems()
