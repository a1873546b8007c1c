"""What older libraries wrote, read for what it meant."""

from __future__ import annotations

import json

import pytest
import torch

from adapter_runtime.checkpoint.hub.adapterhub import open_ledger, read_adapterhub
from adapter_runtime.checkpoint.hub.legacy import bare_name, modernise
from adapter_runtime.checkpoint.hub.named_configs import NAMED_CONFIGS, expand_config
from adapter_runtime.checkpoint.reader import read_adapter
from adapter_runtime.methods.configuration import BadConfig
from adapter_runtime.sources.folder import Folder
from tests.goldens import replay
from tests.methods.test_properties import Drawn


def facts(backbone="bert"):
    return replay.engine(backbone).backbone.facts


def read(config, backbone="bert", **top):
    """The Parts and notes of a configuration whose file holds whatever it asks for."""
    drawn = Drawn()
    full = {"config": config, "name": "A", "version": "adapters.1.3.0", **top}
    full = {key: value for key, value in full.items() if value is not ...}
    options = full.pop("options", {})
    reading = read_adapterhub(full, drawn, facts(backbone), options)
    assert not drawn.problems(), drawn.problems()
    return reading


def stored(name, backbone="bert"):
    """A golden's tensors and its configuration."""
    root = replay.checkpoints("hub_methods", backbone) / name
    tensors = torch.load(root / "pytorch_adapter.bin", weights_only=True)
    return tensors, json.loads((root / "adapter_config.json").read_text())


def problems(tensors, config, backbone="bert"):
    ledger = open_ledger(tensors, facts(backbone))
    read_adapterhub(config, ledger, facts(backbone))
    return sorted({note.code for note in ledger.problems()})


def activations(reading):
    return {part.settings.activation for part in reading.parts}


GELU = NAMED_CONFIGS["seq_bn"] | {"non_linearity": "gelu"}


def test_t05_versionless_gelu_is_tanh():
    """Before version 3 `gelu` was the tanh form; `gelu_orig` was the exact one."""
    old = read(GELU, version=...)
    assert activations(old) == {"gelu_new"}
    assert [note.code for note in old.notes] == ["activation_renamed"]
    assert activations(read(GELU)) == {"gelu"}
    assert activations(read(GELU | {"non_linearity": "gelu_orig"}, version=...)) == {"gelu"}


def test_t05_today_s_library_renames_no_activation_in_a_union():
    """No library that wrote no version wrote unions; today's leaves them alone."""
    union = {"architecture": "union", "configs": [GELU]}
    assert activations(read(union, version=...)) == {"gelu"}


@pytest.mark.parametrize(
    ("factor", "widths"),
    (
        ({"0": 8, "default": 4}, {0: 4, 1: 8}),
        ({"1": 2, "0": 16}, {0: 2, 1: 16}),
        (12.0, {0: 2, 1: 2}),
        (5.3, {0: 6, 1: 6}),
        (100, {0: 1, 1: 1}),
        (0.5, {0: 64, 1: 64}),
    ),
)
def test_t08_reduction_factors_divide_down_and_maps_have_text_keys(factor, widths):
    """Floor division by floats, at least 1, layers by their numbers as text."""
    reading = read(NAMED_CONFIGS["seq_bn"] | {"reduction_factor": factor})
    found = {part.point.layer: len(part.tensors["down_bias"]) for part in reading.parts}
    assert found == widths


@pytest.mark.parametrize(
    ("version", "as_trained", "adapters"),
    (
        (..., 2.0, 2.0),
        ("3.2.1", 2.0, 2.0),
        ("0.1.0", 1.0, 2.0),
        ("0.2.2", 1.0, 2.0),
        ("adapters.1.0.0", 1.0, 1.0),
        ("adapters.1.0.1", 1.0, 1.0),
        ("adapters.1.1.0", 2.0, 2.0),
        ("adapters.1.3.0", 2.0, 2.0),
    ),
)
def test_t11_the_history_of_alpha(version, as_trained, adapters):
    """Versions 0.1 to 1.0 ignored alpha / r; today's library repairs those with its own prefix."""
    config = NAMED_CONFIGS["lora"] | {"alpha": 16}
    for wanted, options in ((as_trained, {}), (adapters, {"lora_scaling": "adapters"})):
        reading = read(config, version=version, options=options)
        assert {part.settings.scale for part in reading.parts} == {wanted}


def test_t11_merged_projections_were_always_scaled():
    """As trained; today's repair takes their scale away all the same."""
    config = NAMED_CONFIGS["lora"] | {"alpha": 16, "output_lora": True}
    old = {"version": "adapters.1.0.1"}
    scales = {str(part.point): part.settings.scale for part in read(config, "gpt2", **old).parts}
    assert (scales["0.qkv"], scales["0.ffn_out"]) == (2.0, 1.0)
    repaired = read(config, "gpt2", options={"lora_scaling": "adapters"}, **old)
    assert {part.settings.scale for part in repaired.parts} == {1.0}


def test_t11_no_repair_reaches_into_a_union():
    """As trained it counts there too; the option follows the library, which does not look."""
    union = {"architecture": "union", "configs": [NAMED_CONFIGS["lora"] | {"alpha": 16}]}
    old = {"version": "adapters.1.0.1"}
    assert {part.settings.scale for part in read(union, **old).parts} == {1.0}
    library = read(union, options={"lora_scaling": "adapters"}, **old)
    assert {part.settings.scale for part in library.parts} == {2.0}


def test_t21_an_adapter_s_name_is_a_whole_segment():
    """`dora` neither finds nor takes what belongs to `dora_gated`."""
    tensors, config = stored("dora")
    other = {key.replace(".dora.", ".dora_gated."): value for key, value in tensors.items()}
    assert problems({**tensors, **other}, config) == ["unexpected_tensor"]
    assert problems(other, config) == ["missing_tensor", "unexpected_tensor"]


@pytest.mark.parametrize("name", ("layer", "encoder", "adapters", "weight", "units", "loras"))
@pytest.mark.parametrize("source", ("compacter", "vera", "loreft"))
def test_t22_names_that_occur_in_paths_are_renamed_once(source, name):
    """The adapter's own segment is the only one that is its name."""
    tensors, config = stored(source)
    renamed = {key.replace(f".{source}.", f".{name}."): value for key, value in tensors.items()}
    assert problems(renamed, config | {"name": name}) == []


def test_t26_the_inner_norm_is_stored_twice():
    """Both copies, either of them, and never a third meaning."""
    tensors, config = stored("compacter_flags")
    twins = [key for key in tensors if "adapter_norm_before" in key]
    assert len(twins) == 8
    assert problems(tensors, config) == []
    assert problems({key: tensors[key] for key in tensors if key not in twins}, config) == []
    others = [key for key in tensors if key.endswith(("down.0.weight", "down.0.bias"))]
    assert problems({key: tensors[key] for key in tensors if key not in others}, config) == []
    bare = {key: tensors[key] for key in tensors if key not in (*twins, *others)}
    assert problems(bare, config) == ["missing_tensor"]


def test_t28_layers_left_out_have_no_tensors_and_need_none():
    """A gap is legitimate where the configuration names it, and nowhere else."""
    tensors, config = stored("compacter_left_out")
    assert problems(tensors, config) == []
    assert not any(".layer.0." in name for name in tensors)
    del config["config"]["leave_out"]
    assert problems(tensors, config) == ["missing_tensor"]


@pytest.mark.parametrize("layer", ("attention_text_task_adapters", "attention_text_lang_adapters"))
def test_first_version_s_names_are_segments_too(layer):
    """Tasks and languages had lists of their own."""
    old = f"bert.encoder.layer.0.attention.output.{layer}.x.adapter_down.0.weight"
    assert bare_name(old, facts()) == (
        "encoder.layer.0.attention.output.adapters.x.adapter_down.0.weight"
    )


@pytest.mark.parametrize(
    ("backbone", "name"),
    (
        ("bert", "bert.encoder.layer.0.output.adapters.x.gate.bias"),
        ("bert", "encoder.layer.0.output.adapters.x.gate.bias"),
        ("distilbert", "distilbert.transformer.layer.0.output_adapters.adapters.x.gate.bias"),
        ("distilbert", "transformer.layer.0.output_adapters.adapters.x.gate.bias"),
        ("llama", "model.layers.0.output_adapters.adapters.x.gate.bias"),
        ("llama", "transformer.layers.0.output_adapters.adapters.x.gate.bias"),
        ("llama", "layers.0.output_adapters.adapters.x.gate.bias"),
        ("t5", "encoder.block.0.layer.1.adapters.x.gate.bias"),
        ("t5", "transformer.encoder.block.0.layer.1.adapters.x.gate.bias"),
    ),
)
def test_the_base_model_s_prefix_may_be_there_or_not(backbone, name):
    """Flexible and bare classes, and the one static class that says another word."""
    short = bare_name(name, facts(backbone)).removesuffix(".adapters.x.gate.bias")
    assert short in facts(backbone).adapter_paths.values()


def test_nested_invertible_keys_move_up():
    """The first version kept them in an object of their own, whose activation never counted."""
    nested = {"block_type": "nice", "non_linearity": "relu", "reduction_factor": 2}
    current = modernise({"invertible_adapter": nested, "non_linearity": "tanh"}, True)
    assert current == {
        "inv_adapter": "nice",
        "inv_adapter_reduction_factor": 2,
        "non_linearity": "tanh",
    }
    assert modernise({"invertible_adapter": None}, True) == {}


@pytest.mark.parametrize("config", (None, "", ..., "pfeiffer", "seq_bn"))
def test_no_configuration_is_the_default(config):
    """Old files held a name or nothing."""
    reading = read(config)
    assert [str(part.point) for part in reading.parts] == ["0.ffn", "1.ffn"]
    assert activations(reading) == {"relu"}


@pytest.mark.parametrize("name", NAMED_CONFIGS)
def test_every_named_configuration_is_read_by_name(name):
    """With the library's own values; a name and its old alias are one."""
    small = "[reduction_factor=4]" if name.startswith("compacter") else ""
    assert read(f"{name}{small}").parts


@pytest.mark.parametrize(
    ("text", "found"),
    (
        ("lora[r=4,alpha=16]", {"r": 4, "alpha": 16}),
        ("lora[attn_matrices=['q','k'],dropout=0.1]", {"attn_matrices": ["q", "k"]}),
        ("pfeiffer[reduction_factor={'1': 2, 'default': 8}]", {"non_linearity": "relu"}),
        (" houlsby ", {"mh_adapter": True}),
    ),
)
def test_strings_change_what_they_name(text, found):
    """`name[key=value, …]`."""
    assert found.items() <= expand_config(text).items()


def test_strings_of_several_names_are_unions():
    """Joined by a bar; what a union is given, all its parts are given."""
    union = expand_config("lora[r=2]|seq_bn")
    assert [child["architecture"] for child in union["configs"]] == ["lora", None]
    gated = expand_config("unipelt[use_gating=False]")
    assert [child["use_gating"] for child in gated["configs"]] == [False, False, False]


@pytest.mark.parametrize(
    "text",
    (
        "pfeifer",
        "lora[",
        "lora]",
        "[r=1]",
        "lora[r]",
        "lora[rank=2]",
        "lora|",
        "mam[r=1]",
        "a" * 9999,
    ),
)
def test_broken_strings_are_refused(text):
    """An unknown name, an unknown key, or no grammar at all."""
    with pytest.raises(BadConfig):
        expand_config(text)


def test_a_checkpoint_named_by_string_reads_as_its_object():
    """The two ways to write a configuration give equal numbers."""
    root = replay.checkpoints("hub_methods", "bert") / "legacy_houlsby"
    adapter = read_adapter(Folder(root, "houlsby"), facts(), {})
    assert activations(adapter) == {"swish"}
    assert len(adapter.parts) == 4


def test_shared_tensors_may_have_no_reader():
    """A Compacter with all layers left out still carries its rule."""
    tensors, config = stored("compacter")
    shared = {name: value for name, value in tensors.items() if "shared_parameters" in name}
    config["config"]["leave_out"] = [0, 1]
    assert problems(shared, config) == []
