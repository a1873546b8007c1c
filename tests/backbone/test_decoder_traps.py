"""What goes wrong silently on decoders, and what is refused there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from adapter_runtime.checkpoint.reader import examine_adapter, read_adapter
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Adapter, Site
from tests.goldens import replay

CASES = {
    (case.backbone, str(case.entry["name"])): case
    for case in replay.all_cases()
    if case.group == "decoders"
}
PREFIX = {"architecture": "prefix_tuning", "flat": True, "prefix_length": 2}
PROMPT = {"architecture": "prompt_tuning", "prompt_length": 3}


def folder_of(backbone: str, name: str) -> Folder:
    """A golden's checkpoint."""
    return Folder(replay.checkpoints("decoders", backbone) / name, name)


def read(backbone: str, name: str) -> Adapter:
    """A golden's adapter."""
    facts = replay.engine(backbone).backbone.facts
    return read_adapter(folder_of(backbone, name), facts, {})


def problems(backbone: str, name: str, path: Path, config: dict[str, Any] | None = None) -> str:
    """Codes and messages of a golden's checkpoint, its configuration changed."""
    copy = path / name
    shutil.copytree(folder_of(backbone, name).root, copy)
    file = copy / "adapter_config.json"
    content = json.loads(file.read_text())
    content["config"] = content["config"] | (config or {})
    file.write_text(json.dumps(content))
    found = examine_adapter(Folder(copy, name), replay.engine(backbone).backbone.facts, {})
    assert found.adapter is None
    return " ".join(f"{note.code}: {note.message}" for note in found.problems)


def worst(backbone: str, name: str) -> float:
    """The largest gap of a golden's answers."""
    return max(replay.gap(*answer) for answer in replay.answers([CASES[backbone, name]]))


@pytest.mark.parametrize(
    ("backbone", "intermediate", "output"),
    (
        ("llama", Site.FFN_OUT, Site.FFN_IN),
        ("mistral", Site.FFN_OUT, Site.FFN_IN),
        ("qwen2", Site.FFN_IN, Site.FFN_OUT),
        ("gpt2", Site.FFN_IN, Site.FFN_OUT),
    ),
)
def test_t14_intermediate_and_output_lora_change_places_on_llama(backbone, intermediate, output):
    """The library's own Llama classes wrap the linears the other way round."""
    found = {part.point.site for part in read(backbone, "lora_intermediate").parts}
    assert found == {intermediate}
    assert {part.point.site for part in read(backbone, "lora_output").parts} == {output}


def test_t15_slices_of_a_merged_projection_lie_in_one_order():
    """Whatever the order in `attn_matrices`, queries come first and values last."""
    parts = [part for part in read("gpt2", "lora_qv").parts if part.point.site is Site.QKV]
    for part in parts:
        queries, keys, values = part.tensors["up"].split(32)
        assert not keys.any()
        assert queries.any()
        assert values.any()
    assert worst("gpt2", "lora_all") < 2e-5


@pytest.mark.parametrize("backbone", ("gpt2-padded", "llama-padded"))
def test_t35_heads_differ_in_the_token_that_they_read(backbone):
    """Flexible heads count the tokens that are no padding, task classes seek the last of them."""
    rules = {}
    for name in ("flex_classification", "static_classification", "peft_lora_seq_cls"):
        rules[name] = replay.version_of(CASES[backbone, name]).head.settings.summary
        assert worst(backbone, name) < 2e-5
    assert rules == {
        "flex_classification": "counted",
        "static_classification": "last",
        "peft_lora_seq_cls": "last",
    }


@pytest.mark.parametrize("backbone", ("gpt2", "llama", "mistral"))
def test_t41_causal_masks_count_adapterhubs_prefixes_only(backbone):
    """The library's masks take a prefix for tokens; PEFT's lies in the past of all of them."""
    counted = read(backbone, "prefix_flat")
    assert all(part.settings.is_counted for part in counted.parts)
    assert [note.code for note in counted.notes] == ["prefix_counted"]
    assert not any(part.settings.is_counted for part in read(backbone, "peft_prefix").parts)


def test_answering_models_call_their_base_model_otherwise():
    """Adapters of Llama's class for question answering lie under another attribute."""
    assert read("llama", "static_question_answering").parts
    assert read("qwen2", "peft_lora_question_ans").parts


def test_a_residual_after_a_norm_that_is_not_there_is_refused(tmp_path):
    """The library fails on it: pre-LN sublayers hand their adapters no norm."""
    config = {"original_ln_before": True, "residual_before_ln": "post_add"}
    assert "post_add" in problems("llama", "double_seq_bn", tmp_path, config)


@pytest.mark.parametrize("backbone", ("gpt2", "llama", "qwen2"))
def test_prompts_that_the_library_has_not_are_refused(backbone, tmp_path):
    """It adds none to decoders, so such a file was made for something else."""
    assert "prompt" in problems(backbone, "seq_bn", tmp_path, PROMPT).lower()


def test_prefixes_on_hooked_models_are_refused(tmp_path):
    """The library hooks no attention."""
    assert "prefix tuning" in problems("qwen3", "seq_bn", tmp_path, PREFIX)


def test_an_adapter_of_a_kindred_family_is_refused(tmp_path):
    """Llama and Mistral have the same names and shapes."""
    found = examine_adapter(
        folder_of("llama", "seq_bn"), replay.engine("mistral").backbone.facts, {}
    )
    assert [note.code for note in found.problems] == ["wrong_backbone"]
