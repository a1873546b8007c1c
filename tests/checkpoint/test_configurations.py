"""What configurations mean, and which values are refused, format by format."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapter_runtime.checkpoint.hub.legacy import ignored_scaling
from adapter_runtime.checkpoint.hub.named_configs import expand_config
from adapter_runtime.checkpoint.peft.targets import Targets, pattern_value
from adapter_runtime.checkpoint.reader import read_adapter
from adapter_runtime.methods.configuration import BadConfig
from adapter_runtime.sources.folder import Folder
from tests.checkpoint.editing import HUB, PEFT, Broken
from tests.methods import golden

LORA, IA3 = "bert/lora_default", "bert/ia3_default"


@pytest.fixture
def broken(tmp_path):
    """Makes broken copies."""
    return lambda path: Broken(path, tmp_path / path.replace("/", "-"))


@pytest.mark.parametrize(
    ("path", "change", "code"),
    (
        (HUB, {"architecture": "nonsense"}, "unsupported_method"),
        (HUB, {"inv_adapter": "nice"}, "missing_tensor"),
        (HUB, {"non_linearity": "prelu_of_my_own"}, "unknown_activation"),
        (HUB, {"non_linearity": "xielu"}, "unknown_activation"),
        (HUB, {"non_linearity": None}, "unknown_activation"),
        (HUB, {"reduction_factor": 0}, "bad_config"),
        (HUB, {"reduction_factor": -2}, "bad_config"),
        (HUB, {"reduction_factor": "4"}, "bad_config"),
        (HUB, {"reduction_factor": {"1": 4}}, "bad_config"),
        (HUB, {"scaling": None}, "bad_config"),
        (HUB, {"residual_before_ln": "never"}, "bad_config"),
        (HUB, {"original_ln_before": False, "residual_before_ln": "post_add"}, "bad_config"),
        (HUB, {"leave_out": 3}, "bad_config"),
        (LORA, {"composition_mode": "multiply"}, "bad_config"),
        (LORA, {"r": 0}, "bad_config"),
        (LORA, {"alpha": None}, "bad_config"),
        (IA3, {"r": 2}, "bad_config"),
    ),
)
def test_adapterhub_values_are_refused_by_name(broken, path, change, code):
    """What we cannot compute exactly is refused with a stable code."""
    assert broken(path).inner(**change).codes() == [code]


@pytest.mark.parametrize(
    ("path", "change"),
    (
        (HUB, {"phm_layer": True}),
        (HUB, {"architecture": "prefix_tuning"}),
        (LORA, {"use_dora": True}),
        (LORA, {"vera_d": 0.1}),
        (LORA, {"architecture": "mtl_lora"}),
    ),
)
def test_another_method_asks_for_other_tensors(broken, path, change):
    """A configuration that is not the file's own is told by what is missing and what is left."""
    codes = set(broken(path).inner(**change).codes())
    assert "missing_tensor" in codes
    assert codes <= {"missing_tensor", "unexpected_tensor", "wrong_shape", "wrong_backbone"}


@pytest.mark.parametrize(
    "change",
    (
        {"scaling": 1},
        {"leave_out": None},
        {"dropout": 0.5},
        {"stochastic_depth": 0.3},
        {"of_tomorrow": {"a": 1}},
        {"cross_adapter": True},
        {"non_linearity": "ReLU"},
    ),
)
def test_harmless_adapterhub_values_are_accepted(broken, change):
    """Integers for floats, training-only and unknown keys do not matter."""
    assert broken(HUB).inner(**change).codes() == []


def test_leaving_out_a_layer_leaves_its_tensors_over(broken):
    """The configuration decides; what it does not name is unexpected."""
    assert set(broken(HUB).inner(leave_out=[0]).codes()) == {"unexpected_tensor"}


def test_adapter_names_are_whole_segments(broken):
    """An adapter that is called like part of another is not taken for it."""
    assert "missing_tensor" in broken(HUB).config(name="seq").codes()


def test_task_adapters_never_had_the_invertible_block_they_declare(broken):
    """Version 1 declared it for all; the note says that it was dropped."""
    copy = broken("bert/legacy_first_format")
    assert copy.codes() == []
    adapter = golden.adapter("bert", "bert/legacy_first_format")
    codes = {note.code for note in adapter.notes}
    assert codes >= {"invertible_dropped", "activation_renamed"}
    assert copy.config(type="text_lang").codes() == ["missing_tensor"]


def test_another_name_of_the_backbone_is_a_warning(broken):
    """Same family and sizes, other weights: possible, so it is said."""
    copy = broken(HUB).config(model_name="org/other-bert")
    assert copy.codes() == []
    facts = replace(golden.backbone("bert").facts, model_name="hf://org/bert@main")
    adapter = read_adapter(Folder(copy.folder, "copy"), facts, {})
    assert [note.code for note in adapter.notes] == ["other_backbone_name"]


@pytest.mark.parametrize(
    ("change", "code"),
    (
        ({"peft_type": "OFT"}, "unsupported_method"),
        ({"peft_type": "XLORA"}, "unsupported_method"),
        ({"target_parameters": ["x"]}, "unsupported_config"),
        ({"layer_replication": [[0, 2]]}, "unsupported_config"),
        ({"alora_invocation_tokens": [1]}, "unsupported_config"),
        ({"use_qalora": True}, "unsupported_config"),
        ({"arrow_config": {"top_k": 3}}, "unsupported_config"),
        ({"use_bdlora": {"nblocks": 2}}, "unsupported_config"),
        ({"megatron_config": {"a": 1}}, "unsupported_config"),
        ({"kasa_config": {"beta": 1}}, "unsupported_config"),
        ({"init_lora_weights": "pissa"}, "modified_backbone"),
        ({"init_lora_weights": "pissa_niter_16"}, "modified_backbone"),
        ({"bias": "some"}, "bad_config"),
        ({"r": 0}, "bad_config"),
        ({"r": None}, "bad_config"),
        ({"lora_alpha": "8"}, "bad_config"),
        ({"target_modules": "("}, "bad_config"),
        ({"target_modules": 3}, "bad_config"),
        ({"rank_pattern": {"(": 3}}, "bad_config"),
        ({"rank_pattern": [3]}, "bad_config"),
        ({"target_modules": []}, "bad_config"),
    ),
)
def test_peft_values_are_refused_by_name(broken, change, code):
    """Keys that change the forward are refused; each problem names the key."""
    copy = broken(PEFT).config(**change)
    assert copy.codes() == [code]


@pytest.mark.parametrize(
    "change",
    (
        {"of_tomorrow": 1},
        {"fan_in_fan_out": True},
        {"init_lora_weights": "gaussian"},
        {"lora_dropout": 0.4},
        {"target_modules": None},
        {"megatron_core": "megatron.core"},
        {"modules_to_save": []},
    ),
)
def test_harmless_peft_values_are_accepted(broken, change):
    """Unknown, initialisation and training keys do not matter; null means PEFT's default."""
    assert broken(PEFT).config(**change).codes() == []


def test_saved_modules_that_are_no_head_are_named(broken):
    """A table where nothing of ours acts is not quietly dropped."""
    saved = ["classifier", "image_embeddings"]
    copy = broken("bert/peft_seq_cls_lora").config(modules_to_save=saved)

    def add_positions(tensors):
        name = "base_model.model.bert.embeddings.image_embeddings.weight"
        tensors[name] = tensors["base_model.model.classifier.weight"].clone()

    found = copy.tensors(add_positions).problems()
    assert [code for code, _ in found] == ["unsupported_module"]
    assert "image_embeddings" in found[0][1]


def targets(**config):
    return Targets.read(config, None)


NAME = "bert.encoder.layer.1.attention.self.query"


@pytest.mark.parametrize(
    ("config", "is_meant"),
    (
        ({"target_modules": ["query"]}, True),
        ({"target_modules": ["self.query"]}, True),
        ({"target_modules": ["uery"]}, False),
        ({"target_modules": [NAME]}, True),
        ({"target_modules": "query"}, False),
        ({"target_modules": r".*\.1\..*query"}, True),
        ({"target_modules": "ALL-linear"}, True),
        ({"target_modules": ["query"], "exclude_modules": ["self.query"]}, False),
        ({"target_modules": ["query"], "exclude_modules": r".*layer\.1.*"}, False),
        ({"target_modules": ["query"], "modules_to_save": ["attention"]}, False),
        ({"target_modules": ["query"], "modules_to_save": ["atten"]}, True),
        ({"target_modules": ["query"], "layers_to_transform": [0]}, False),
        ({"target_modules": ["query"], "layers_to_transform": 1}, True),
        ({"target_modules": [NAME], "layers_to_transform": [0]}, True),
        (
            {
                "target_modules": ["query"],
                "layers_to_transform": [1],
                "layers_pattern": "layers",
            },
            False,
        ),
        (
            {
                "target_modules": ["query"],
                "layers_to_transform": [1],
                "layers_pattern": ["h", "layer"],
            },
            True,
        ),
    ),
)
def test_targets_match_as_peft_matches(config, is_meant):
    """Endings, whole patterns, exclusions and layers, as PEFT reads them."""
    assert (NAME in targets(**config)) is is_meant


@pytest.mark.parametrize(
    ("patterns", "value"),
    (
        ({}, 8),
        (None, 8),
        ({"query": 2}, 2),
        ({"key": 2}, 8),
        ({"self.query": 3, "query": 2}, 3),
        ({r"^bert.*query": 4}, 4),
        ({r"layer\.0\..*": 4, "query": 5}, 5),
    ),
)
def test_the_first_matching_pattern_counts(patterns, value):
    """Patterns match a path's end, in the order of the file."""
    assert pattern_value(patterns, NAME, 8, "rank_pattern") == value


@pytest.mark.parametrize(
    ("version", "as_trained", "like_adapters"),
    (
        (None, False, False),
        ("3.2.1", False, False),
        ("0.1.2", True, False),
        ("0.2.2", True, False),
        ("adapters.1.0.1", True, True),
        ("adapters.1.1.0", False, False),
        ("adapters.1.3.0", False, False),
        ("adapters.nonsense", False, False),
    ),
)
def test_versions_that_ignored_the_scale(version, as_trained, like_adapters):
    """0.1 to 1.0 computed LoRA without alpha / r; `adapters` 1.3 repairs only the prefixed ones."""
    assert ignored_scaling(version, True) is as_trained
    assert ignored_scaling(version, False) is like_adapters


def test_the_scaling_option_changes_the_digest_and_the_scale():
    """The two readings of one file are two adapters."""
    trained = golden.adapter("bert", "bert/legacy_lora_0_2")
    adapters = golden.adapter("bert", "bert/legacy_lora_0_2", (("lora_scaling", "adapters"),))
    assert trained.digest != adapters.digest
    assert {part.settings.scale for part in trained.parts} == {1.0}
    assert {part.settings.scale for part in adapters.parts} == {2.0}


@pytest.mark.parametrize(
    ("text", "expected"),
    (
        (None, {"reduction_factor": 16, "original_ln_before": True}),
        ("pfeiffer", {"mh_adapter": False, "non_linearity": "relu"}),
        ("houlsby", {"mh_adapter": True, "non_linearity": "swish"}),
        ("scaled_parallel", {"is_parallel": True, "scaling": "learned"}),
        ("par_bn[reduction_factor=2.5, scaling='channel']", {"reduction_factor": 2.5}),
        ("lora[r=3,leave_out=[1,2]]", {"r": 3, "leave_out": [1, 2]}),
        ("seq_bn|lora", {"architecture": "union"}),
    ),
)
def test_strings_name_configurations(text, expected):
    """Names, old aliases and the grammar of changes."""
    config = expand_config(text)
    assert {key: config[key] for key in expected} == expected


@pytest.mark.parametrize("text", ("", "no", "seq_bn[", "seq_bn[x]", "seq_bn[x=open('/')]", 7))
def test_other_strings_are_refused(text):
    """Nothing is evaluated but literals."""
    if text == "":
        assert expand_config(text)["architecture"] is None
        return
    with pytest.raises(BadConfig):
        expand_config(text)
