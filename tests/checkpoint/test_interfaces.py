"""`adapter_interface.json`: what a user's interface may say."""

from __future__ import annotations

import json
import shutil

import pytest

from adapter_runtime.checkpoint.hub.writer import write_adapter
from adapter_runtime.checkpoint.reader import examine_adapter, read_adapter
from adapter_runtime.sources.folder import Folder
from tests.goldens import replay


def facts(backbone="bert"):
    return replay.engine(backbone).backbone.facts


def edited(tmp_path, name, change, backbone="bert", group="hub_methods"):
    """A copy of a golden with another interface; the codes of all problems."""
    copy = tmp_path / "copy"
    shutil.copytree(replay.checkpoints(group, backbone) / name, copy)
    path = copy / "adapter_interface.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content)))
    found = examine_adapter(Folder(copy, "copy"), facts(backbone), {})
    return sorted({note.code for note in found.problems})


def with_key(key, value):
    return lambda content: content | {"interface": content["interface"] | {key: value}}


def test_blocks_that_saw_no_residual_read_the_bare_output():
    """The configuration asks for the sum, the interface never gave it."""
    root = replay.checkpoints("hub_methods", "bert") / "hooked_seq_bn"
    assert json.loads((root / "adapter_config.json").read_text())["config"]["original_ln_before"]
    adapter = read_adapter(Folder(root, "hooked"), facts(), {})
    assert {part.settings.original_ln_before for part in adapter.parts} == {False}


@pytest.mark.parametrize(
    ("name", "change", "code"),
    (
        ("hooked_lora", with_key("attn_q_proj", "self.key"), "foreign_interface"),
        ("hooked_lora", with_key("model_layers", "encoder.blocks"), "foreign_interface"),
        ("hooked_lora", with_key("layer_output_proj", "attention.output.dense"), None),
        ("hooked_lora", with_key("layer_cross_attn", "crossattention"), "foreign_interface"),
        ("hooked_seq_bn", with_key("layer_pre_self_attn", "attention"), "foreign_interface"),
        ("hooked_seq_bn", with_key("layer_ln_2", "output.LayerNorm"), "foreign_interface"),
        ("hooked_double_seq_bn", with_key("layer_pre_ffn", "intermediate"), ""),
        ("hooked_lora", lambda content: content | {"model_type": "t5"}, "wrong_backbone"),
        ("hooked_lora", lambda _content: [], "bad_config"),
        ("hooked_lora", lambda _content: {"interface": "x"}, "bad_config"),
        ("hooked_lora", lambda content: content, ""),
    ),
)
def test_interfaces_of_other_places_are_refused(tmp_path, name, change, code):
    """What hooks no place that we know is told from what changes nothing."""
    expected = "foreign_interface" if code is None else code
    assert edited(tmp_path, name, change) == ([expected] if expected else [])


def test_a_changed_interface_of_a_known_model_is_refused_where_it_counts(tmp_path):
    """The library's own interface shows ModernBERT's blocks what we show them; another may not."""
    assert edited(tmp_path, "seq_bn", lambda same: same, "modernbert", "encoders") == []
    changed = with_key("layer_pre_ffn", "mlp_norm")
    shutil.rmtree(tmp_path / "copy")
    problems = edited(tmp_path, "seq_bn", changed, "modernbert", "encoders")
    assert problems == ["foreign_interface"]


def test_what_is_written_needs_no_interface(tmp_path):
    """The library's own places, and flags that say what the blocks did."""
    root = replay.checkpoints("hub_methods", "bert") / "hooked_seq_bn"
    adapter = read_adapter(Folder(root, "hooked"), facts(), {})
    write_adapter(adapter, tmp_path, facts())
    again = read_adapter(Folder(tmp_path, "written"), facts(), {})
    assert [part.settings for part in again.parts] == [part.settings for part in adapter.parts]
