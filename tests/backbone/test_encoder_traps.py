"""What the libraries do to these families against all expectation, and what they cannot do."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from adapter_runtime import Encoded, RejectedAdapter, WorkItem
from adapter_runtime.methods.lora import Lora
from adapter_runtime.types import PlugPoint, Site
from serving.catalog.entries import read_spec
from tests.backbone.tiny import random_row
from tests.engine_forward.collect import largest_gap
from tests.goldens import replay
from tests.goldens.filling import draw

TOLERANCE = 2e-5  # fp32


def case(backbone: str, name: str) -> replay.Case:
    """A golden of the encoder families."""
    (found,) = [
        each
        for each in replay.all_cases()
        if (each.group, each.backbone, each.entry["name"]) == ("encoders", backbone, name)
    ]
    return found


def worst(found: replay.Case) -> float:
    """The largest difference from the library in any row."""
    return max(replay.gap(found, row, raw) for _, row, raw in replay.answers([found]))


def parts(backbone: str, name: str):
    """The Parts of a golden's adapter."""
    found = case(backbone, name)
    version = replay.version_of(found)
    library = replay.engine(backbone, is_fast=True).library
    return library.item(version.composition.ref).parts


def test_t15_thirds_of_deberta_v1_are_no_queries_keys_and_values():
    """Its merged projection lies head by head; adapters write to thirds of it nevertheless."""
    found = [part for part in parts("deberta", "lora_qv") if part.method == Lora.name]
    assert {part.point.site for part in found} == {Site.QKV}
    for part in found:
        written = part.tensors["up"].abs().sum(1) > 0
        assert [bool(third.any()) for third in written.split(32)] == [True, False, True]
    assert worst(case("deberta", "lora_qv")) < TOLERANCE


def test_t16_every_layer_of_modernbert_reads_the_last_layers_norm():
    """The library's loop variable outlives its loop."""
    model = replay.engine("modernbert").runner.backbone.model
    norms = {id(layer.attn.close.norm.norm) for layer in model.layers}
    assert norms == {id(model.layers[-1].mlp_norm.base)}
    assert worst(case("modernbert", "norm_before")) < TOLERANCE


def test_t28_a_shared_layer_of_albert_has_one_adapter_for_all_its_turns():
    """Two turns of one layer, one Part; four layers in groups, four Parts."""
    assert [part.point for part in parts("albert", "seq_bn")] == [PlugPoint(0, Site.FFN)]
    assert len(parts("albert-groups", "seq_bn")) == 4
    assert worst(case("albert", "seq_bn")) < TOLERANCE


def test_attention_adapters_of_albert_take_the_residual_for_the_output():
    """The library hands both over in the wrong order, so files are right only that way round."""
    model = replay.engine("albert").runner.backbone.model
    (block,) = [module for module in model.modules() if type(module).__name__ == "AlbertBlock"]
    assert type(block.attention_close).__name__ == "SwappedSum"
    assert worst(case("albert", "double_seq_bn")) < TOLERANCE


@pytest.mark.parametrize("name", ("lora_all", "lora_gated", "ia3_all", "dora"))
def test_adapters_of_shared_linears_change_relative_positions_too(name):
    """DeBERTa v3 sends its position vectors through the linears of queries and keys."""
    assert worst(case("deberta-v3", name)) < TOLERANCE


@pytest.mark.parametrize("backbone", ("deberta", "modernbert"))
def test_a_bias_that_the_library_invents_is_told(backbone):
    """Nothing saves it, so nobody can bring it back."""
    codes = {note.code for note in replay.version_of(case(backbone, "seq_bn")).notes}
    assert "unsaved_bias" in codes


@pytest.mark.parametrize("method", ("prompt_tuning", "prefix_tuning"))
def test_methods_that_the_library_lacks_for_modernbert_are_refused(method, tmp_path):
    """A file that claims them was not made for this model."""
    shutil.copytree(replay.checkpoints("encoders", "modernbert") / "seq_bn", tmp_path / "x")
    path = tmp_path / "x" / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"config": {"architecture": method}}))
    with pytest.raises(RejectedAdapter, match=r"library has no|takes no prefixes"):
        replay.engine("modernbert").prepare(read_spec({"name": "x", "adapter": "./x"}, tmp_path))


@pytest.mark.parametrize("backbone", ("xlm-roberta-xl", "esm"))
def test_families_that_the_library_does_not_know_have_no_adapterhub_files(backbone, tmp_path):
    """Only PEFT trains them."""
    shutil.copytree(replay.checkpoints("encoders", "deberta") / "seq_bn", tmp_path / "x")
    with pytest.raises(RejectedAdapter, match=r"does not know|was trained for"):
        replay.engine(backbone).prepare(read_spec({"name": "x", "adapter": "./x"}, tmp_path))


def test_biases_without_a_module_are_read_where_older_peft_saved_them(tmp_path):
    """DeBERTa v1 adds such biases to queries and values."""
    source = replay.checkpoints("encoders", "deberta") / "peft_bias_all"
    shutil.copytree(source, tmp_path / "x")
    tensors = load_file(source / "adapter_model.safetensors")
    name = "base_model.model.encoder.layer.1.attention.self.v_bias"
    save_file(tensors | {name: torch.ones(32)}, tmp_path / "x" / "adapter_model.safetensors")
    engine = replay.engine("deberta")
    version = engine.prepare(read_spec({"name": "x", "adapter": "./x"}, tmp_path))
    points = {part.point for part in engine.library.item(version.composition.ref).parts}
    assert PlugPoint(1, Site.VALUE_SHIFT) in points
    assert PlugPoint(1, Site.QUERY_SHIFT) not in points


def test_lora_on_nomic_equals_weights_with_the_product_added(tmp_path):
    """No library of the goldens knows the family, so its own weights are the reference."""
    name = "nomic"
    targets = [
        f"layers.1.{path}" for path in ("self_attn.q_proj", "mlp.gate_proj", "mlp.down_proj")
    ]
    plain = AutoModel.from_pretrained(replay.saved_backbone(name)).eval()
    tensors = {}
    for path in targets:
        weight = plain.get_submodule(path).weight
        down = draw(f"{path} down", (2, weight.shape[1]), 0.3)
        up = draw(f"{path} up", (weight.shape[0], 2), 0.3)
        tensors[f"base_model.model.{path}.lora_A.weight"] = down
        tensors[f"base_model.model.{path}.lora_B.weight"] = up
        with torch.no_grad():
            weight.add_(up @ down, alpha=1.5)
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 3, "target_modules": targets}
    config |= {"task_type": "FEATURE_EXTRACTION"}
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, tmp_path / "x" / "adapter_model.safetensors")
    engine = replay.engine(name)
    version = engine.prepare(read_spec({"name": "x", "adapter": "./x"}, tmp_path))
    row = random_row(11, 2, has_types=True)
    (outcome,) = engine.run([WorkItem(version, row, raw=True)]).outcomes
    found = torch.tensor(engine.raw(version, Encoded((row,)), [outcome])["hidden"])
    with torch.no_grad():
        expected = plain(torch.tensor([row.input_ids]), token_type_ids=torch.tensor([row.type_ids]))
    assert largest_gap(found, expected.last_hidden_state[0]) < TOLERANCE
