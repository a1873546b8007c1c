"""What a PEFT checkpoint must not be: each refused with a code and with words that help."""

from __future__ import annotations

import pytest
import torch

from tests.peft import files

TARGET = "encoder.layer.0.attention.self.query"
OTHER = "embeddings.image_embeddings"


@pytest.mark.parametrize(
    ("options", "code"),
    (
        ({"target_parameters": ["experts.gate_up_proj"]}, "unsupported_config"),
        ({"layer_replication": [[0, 2], [1, 2]]}, "unsupported_config"),
        ({"alora_invocation_tokens": [5, 6]}, "unsupported_config"),
        ({"use_qalora": True}, "unsupported_config"),
        ({"arrow_config": {"top_k": 3}}, "unsupported_config"),
        ({"use_bdlora": {"nblocks": 2}}, "unsupported_config"),
        ({"megatron_config": {"a": 1}}, "unsupported_config"),
        ({"velora_config": {"num_groups": 4}}, "unsupported_config"),
        ({"monteclora_config": {"num_samples": 8}}, "unsupported_config"),
        ({"kasa_config": {"beta": 1e-4}}, "unsupported_config"),
        ({"init_lora_weights": "pissa"}, "modified_backbone"),
        ({"init_lora_weights": "pissa_niter_4"}, "modified_backbone"),
        ({"init_lora_weights": "olora"}, "modified_backbone"),
        ({"init_lora_weights": "corda"}, "modified_backbone"),
        ({"init_lora_weights": "loftq"}, "modified_backbone"),
        ({"init_lora_weights": "lora_ga"}, "modified_backbone"),
        ({"r": 10**9}, "bad_config"),
        ({"r": -1}, "bad_config"),
        ({"rank_pattern": {"query": 10**9}}, "bad_config"),
        ({"lora_alpha": float("nan")}, "bad_config"),
        ({"bias": "some"}, "bad_config"),
        ({"bias": ["all"]}, "bad_config"),
        ({"target_modules": []}, "bad_config"),
        ({"target_modules": "("}, "bad_config"),
        ({"target_modules": "(.*.*.*.*.*)*x"}, "bad_config"),
        ({"target_modules": "(a+)+$"}, "bad_config"),
        ({"exclude_modules": "(.+)+query"}, "bad_config"),
        ({"modules_to_save": ["(.+)+query"]}, "bad_config"),
        ({"modules_to_save": {"classifier": 1}}, "bad_config"),
        ({"rank_pattern": {"(.+)+query": 3}}, "bad_config"),
        ({"alpha_pattern": [3]}, "bad_config"),
        ({"target_modules": ".*query", "layers_to_transform": [1]}, "bad_config"),
        ({"layers_to_transform": "all"}, "bad_config"),
        ({"use_dora": True, "lora_bias": True}, "bad_config"),
        ({"use_rslora": "yes"}, "bad_config"),
        ({"use_dora": True}, "missing_tensor"),
        ({"lora_bias": True}, "missing_tensor"),
        ({"bias": "all"}, "missing_tensor"),
        ({"r": 5}, "wrong_shape"),
        ({"target_modules": ["query", "value"]}, "missing_tensor"),
        ({"layers_to_transform": [1]}, "unexpected_tensor"),
        ({"target_modules": ["word_embeddings", "query"]}, "missing_tensor"),
        ({"modules_to_save": ["pooler", "0.output.dense"]}, "missing_tensor"),
        ({"trainable_token_indices": [3]}, "missing_tensor"),
        ({"trainable_token_indices": [99]}, "bad_config"),
        ({"trainable_token_indices": [3, 3]}, "bad_config"),
        ({"trainable_token_indices": [-1]}, "bad_config"),
        ({"trainable_token_indices": 7}, "bad_config"),
        ({"trainable_token_indices": {"lm_head": [3]}}, "unsupported_module"),
    ),
)
def test_settings_that_cannot_be_served_are_refused(options, code):
    """Each with its own code; nothing is computed from what does not fit."""
    assert files.codes(files.config(**options)) == [code]


@pytest.mark.parametrize(
    "kind",
    (
        *("OFT", "BOFT", "HRA", "FOURIERFT", "XLORA", "POLY", "VBLORA", "MISS"),
        *(
            "ROAD",
            "RANDLORA",
            "SHIRA",
            "C3A",
            "ADAPTION_PROMPT",
            "CPT",
            "PVERA",
            "HIRA",
            "OF_LATER",
        ),
    ),
)
def test_other_methods_are_refused_by_name(kind):
    """The message names the method and what can be done instead."""
    _, problems = files.read(files.config(peft_type=kind), files.queries())
    assert [problem.code for problem in problems] == ["unsupported_method"]
    assert kind in problems[0].message
    assert "convert it to LoRA" in problems[0].message


@pytest.mark.parametrize(
    "options",
    (
        {"of_tomorrow": {"deep": [1]}},
        {"lora_dropout": 0.4, "fan_in_fan_out": True, "inference_mode": False},
        {"init_lora_weights": "eva", "eva_config": {"rho": 2.0}},
        {"init_lora_weights": "orthogonal"},
        {"init_lora_weights": "MiCA"},
        {"megatron_core": "megatron.core", "qalora_group_size": 16, "runtime_config": {}},
        {"target_parameters": [], "layer_replication": None, "use_qalora": False},
        {"ensure_weight_tying": True, "loftq_config": {}, "corda_config": None},
        {"rank_pattern": {"no_such_module": 3}, "alpha_pattern": None},
        {"modules_to_save": ["classifier", "score"]},
        {"layers_to_transform": [0, 1, 7], "layers_pattern": "layer"},
    ),
)
def test_settings_without_effect_are_accepted(options):
    """What only training or another library's machinery reads does not matter."""
    assert files.codes(files.config(**options)) == []


@pytest.mark.parametrize("prefix", ("roberta.", "model.", "electra."))
def test_another_familys_names_are_another_backbone(prefix):
    """The base model's attribute in the task class tells the family."""
    assert files.codes(files.config(), files.queries(prefix)) == ["wrong_backbone"]


def test_another_familys_library_is_another_backbone():
    """A bare model's file tells its family by the module that defined the class."""
    library = {"parent_library": "transformers.models.roberta.modeling_roberta"}
    assert files.codes(files.config(auto_mapping=library)) == ["wrong_backbone"]


@pytest.mark.parametrize(
    ("name", "options", "code"),
    (
        (f"{OTHER}.lora_embedding_A", {}, "unsupported_module"),
        (f"{OTHER}.weight", {"modules_to_save": ["image_embeddings"]}, "unsupported_module"),
        ("classifier.lora_A.weight", {}, "missing_head"),
        ("encoder.layer.7.attention.self.query.lora_A.weight", {}, "unexpected_tensor"),
        (f"{TARGET}.weight", {}, "unexpected_tensor"),
        (f"{TARGET}.lora_magnitude_vector", {}, "unexpected_tensor"),
    ),
)
def test_tensors_without_a_place_are_named(name, options, code):
    """A part of the model that cannot be changed, a head that is lost, a tensor too many."""
    tensors = files.queries() | {files.WRAPPER + name: torch.ones(4, 32)}
    _, problems = files.read(files.config(**options), tensors)
    assert [problem.code for problem in problems] == [code]
    assert name in problems[0].message


@pytest.mark.parametrize(
    ("options", "code"),
    (
        ({"r": 1 << 20, "save_projection": False}, "wrong_shape"),
        ({"projection_prng_key": "0", "save_projection": False}, "bad_config"),
        ({"projection_prng_key": 1 << 80, "save_projection": False}, "bad_config"),
        ({"save_projection": True}, "missing_tensor"),
        ({"target_modules": ["no_such"]}, "unsupported_module"),
    ),
)
def test_vera_that_cannot_be_rebuilt_is_refused(options, code):
    """A huge rank is refused by the small tensors that deny it, before projections are drawn."""
    tensors = {}
    for path in ("encoder.layer.0", "encoder.layer.1"):
        stem = f"{files.WRAPPER}{path}.attention.self.query.vera_lambda_"
        tensors |= {f"{stem}d": torch.ones(4), f"{stem}b": torch.ones(32)}
    assert files.codes(files.config(peft_type="VERA") | options, tensors) == [code]


@pytest.mark.parametrize(
    "pattern",
    (
        {f"{TARGET}.lora_E": [True, False]},
        {f"{TARGET}.lora_E": [1, 1, 1, 0]},
        {f"{TARGET}.lora_E": 3},
        [True],
    ),
)
def test_masks_of_adalora_must_fit_its_first_rank(pattern):
    """One switch for each direction that training began with."""
    tensors = {name.removesuffix(".weight"): tensor for name, tensor in files.queries().items()}
    options = files.config(peft_type="ADALORA", init_r=4, rank_pattern=pattern)
    assert "bad_config" in files.codes(options, tensors)


def test_ia3_needs_to_know_the_feed_forward_modules():
    """Without them nobody can say which factors belong to inputs."""
    options = {"peft_type": "IA3", "target_modules": ["query"], "feedforward_modules": 3}
    assert files.codes(options) == ["bad_config"]
