"""Whatever a configuration or a file holds, the reader answers with problems and never fails."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.peft import files

LIMITS = settings(
    max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
KINDS = (
    *("LORA", "IA3", "ADALORA", "VERA", "LOHA", "LOKR"),
    *("LN_TUNING", "TRAINABLE_TOKENS", "PROMPT_TUNING"),
)
KEYS = (
    *("r", "init_r", "lora_alpha", "target_modules", "exclude_modules", "feedforward_modules"),
    *("layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern", "bias"),
    *("use_rslora", "use_dora", "lora_bias", "modules_to_save", "trainable_token_indices"),
    *("token_indices", "save_projection", "projection_prng_key", "init_lora_weights"),
    *("auto_mapping", "task_type", "peft_type", "num_virtual_tokens"),
)
WORDS = ("query", "dense", "all-linear", ".*", "(", "all", "word_embeddings", "", "bert", "layer")
ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 1 << 70),
    st.floats(),
    st.sampled_from(WORDS),
    st.text(max_size=5),
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(WORDS), inner, max_size=2),
    ),
    max_leaves=5,
)
STEMS = (
    "bert.encoder.layer.0.attention.self.query",
    "encoder.layer.1.output.dense",
    "bert.embeddings.word_embeddings",
    "embeddings.LayerNorm",
    "classifier",
    "bert.pooler.dense",
)
SUFFIXES = (
    *("lora_A.weight", "lora_B.weight", "lora_B.bias", "lora_A", "lora_E", "lora_embedding_A"),
    *("lora_embedding_B", "lora_magnitude_vector", "ia3_l", "vera_lambda_b", "vera_lambda_d"),
    *("weight", "bias", "base_layer.weight", "base_layer.bias", "ln_tuning_layers.weight"),
    *("hada_w1_a", "hada_w1_b", "lokr_w1", "lokr_w2", "lokr_w2_a", "lokr_w2_b"),
    *("token_adapter.trainable_tokens_delta", "modules_to_save.bias", "ranknum"),
)
NAMES = st.one_of(
    st.builds("base_model.model.{}.{}".format, st.sampled_from(STEMS), st.sampled_from(SUFFIXES)),
    st.sampled_from(("base_model.vera_A", "prompt_embeddings", "", ".", "base_model.model.")),
)
SHAPES = st.lists(st.sampled_from((0, 1, 3, 4, 32, 99)), max_size=3)
TENSORS = st.dictionaries(NAMES, st.builds(torch.ones, SHAPES), max_size=6)


@LIMITS
@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5), TENSORS)
def test_no_file_makes_the_reader_fail(kind: str, options: dict[str, Any], tensors: dict[str, Any]):
    """Values of any type, tensors of any name and shape: problems, or an adapter."""
    _, problems = files.read({"peft_type": kind} | options, tensors)
    assert all(problem.code and problem.message for problem in problems)


@pytest.mark.parametrize("kind", KINDS)
@LIMITS
@given(options=st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS[:-2], VALUES)))
def test_no_configuration_makes_the_reader_fail(kind: str, options: dict[str, Any]):
    """Likewise with tensors that would fit LoRA."""
    config = {"peft_type": kind, "target_modules": ["query"]} | options
    _, problems = files.read(config, files.queries())
    assert all(problem.code and problem.message for problem in problems)
