"""What prefixes, prompts and invertible blocks are refused for, with code, reason and remedy."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from adapter_runtime.checkpoint.hub.writer import new_adapter
from adapter_runtime.errors import RejectedAdapter
from serving.catalog.entries import read_spec
from tests.goldens import replay
from tests.virtual_tokens.samples import Changed, codes, examine, folder

HUGE = 10**9


def changed(name, tmp_path, **changes):
    """A copy whose inner configuration says something else."""
    return Changed(name, tmp_path).config(lambda config: config["config"].update(changes))


@pytest.mark.parametrize(
    ("name", "changes", "code"),
    (
        ("prefix", {"prefix_length": HUGE}, "bad_config"),
        ("prefix", {"prefix_length": "3"}, "bad_config"),
        ("prefix", {"prefix_length": 1 << 20}, "wrong_shape"),
        ("prefix", {"bottleneck_size": 1 << 20}, "wrong_shape"),
        ("prefix", {"bottleneck_size": 0}, "bad_config"),
        ("prefix", {"non_linearity": "no_such"}, "unknown_activation"),
        ("prefix", {"leave_out": [1]}, "wrong_shape"),
        ("prefix", {"use_gating": True}, "missing_tensor"),
        ("prefix", {"flat": True}, "missing_tensor"),
        ("prefix_gated", {"use_gating": False}, "unexpected_tensor"),
        ("prefix_gated_apart", {"shared_gating": True}, "wrong_shape"),
        ("prompt", {"prompt_length": HUGE}, "bad_config"),
        ("prompt", {"prompt_length": 1 << 20}, "wrong_shape"),
        ("prompt", {"combine": "suffix"}, "bad_config"),
        ("invertible", {"inv_adapter": "glow"}, "unsupported_method"),
        ("invertible", {"inv_adapter": "flow"}, "bad_config"),
        ("invertible", {"inv_adapter": None}, "unexpected_tensor"),
        ("invertible", {"inv_adapter_reduction_factor": 0}, "bad_config"),
        ("invertible", {"inv_adapter_reduction_factor": None}, "bad_config"),
        ("invertible", {"inv_adapter_reduction_factor": 1e-9}, "wrong_shape"),
    ),
)
def test_configurations_that_do_not_fit_are_refused(name, changes, code, tmp_path):
    """One wrong value of a configuration is one named problem, before memory is spent."""
    found = examine(changed(name, tmp_path, **changes))
    assert found.adapter is None
    assert code in {problem.code for problem in found.problems}


@pytest.mark.parametrize(
    ("name", "changes", "code"),
    (
        ("peft_prompt_feature_extraction", {"num_virtual_tokens": 4}, "wrong_shape"),
        ("peft_prompt_feature_extraction", {"num_virtual_tokens": None}, "bad_config"),
        ("peft_prompt_feature_extraction", {"task_type": None}, "unsupported_config"),
        ("peft_prompt_feature_extraction", {"num_transformer_submodules": 2}, "bad_config"),
        ("peft_prompt_feature_extraction", {"peft_type": "CPT"}, "unsupported_method"),
        ("peft_prefix_feature_extraction", {"num_layers": 3}, "wrong_backbone"),
        ("peft_prefix_feature_extraction", {"num_layers": HUGE}, "bad_config"),
        ("peft_prefix_feature_extraction", {"num_attention_heads": 2}, "wrong_backbone"),
        ("peft_prefix_feature_extraction", {"token_dim": 64}, "wrong_backbone"),
        ("peft_prefix_feature_extraction", {"peft_type": "CARTRIDGE"}, "unsupported_method"),
        ("peft_prefix_feature_extraction", {"num_layers": None, "token_dim": None}, None),
        ("peft_prompt_seq_cls", {"peft_type": "P_TUNING"}, None),
    ),
)
def test_peft_files_that_do_not_fit_are_refused(name, changes, code, tmp_path):
    """Sizes must be the backbone's, and what no row could choose between is refused."""
    found = codes(Changed(name, tmp_path).config(lambda config: config.update(changes)))
    assert (code in found) if code else not found


def test_multi_task_prompts_are_served_where_there_is_one_task(tmp_path):
    """One task's low-rank factors are folded into its prompt; several tasks are refused."""
    copy = Changed("peft_prompt_feature_extraction", tmp_path)
    factors = {
        "prefix_task_cols": torch.arange(6.0).reshape(1, 3, 2),
        "prefix_task_rows": torch.ones(1, 2, 32),
    }
    copy.tensors(lambda tensors: tensors.update(factors))
    kind = {"peft_type": "MULTITASK_PROMPT_TUNING", "num_ranks": 2, "num_tasks": 1}
    found = examine(copy.config(lambda config: config.update(kind)))
    (part,) = found.adapter.parts
    saved = load_file(folder("peft_prompt_feature_extraction") / "adapter_model.safetensors")
    product = (factors["prefix_task_cols"] @ factors["prefix_task_rows"])[0]
    assert torch.equal(part.tensors["vectors"], saved["prompt_embeddings"] * product)
    several = copy.config(lambda config: config.update(num_tasks=2))
    assert codes(several) == ["unsupported_config"]


@pytest.mark.parametrize("backbone", ("distilbert", "mpnet", "albert", "deberta-v2", "modernbert"))
def test_prefixes_that_peft_itself_cannot_run_are_refused(backbone, tmp_path):
    """Such a file can be saved, but no number of PEFT's belongs to it."""
    path = Changed("peft_prefix_feature_extraction", tmp_path).path
    (problem,) = examine(path, backbone).problems[:1]
    assert problem.code == "unsupported_point"
    assert backbone in problem.message


@pytest.mark.parametrize("name", ("prefix", "prompt", "invertible"))
def test_one_bad_number_is_enough(name, tmp_path):
    """NaN in a prefix, a prompt or a block rejects the checkpoint."""
    path = Changed(name, tmp_path).tensors(
        lambda tensors: next(
            tensor for key, tensor in tensors.items() if "pool" not in key and tensor.ndim == 2
        )[0].fill_(float("nan"))
    )
    assert "non_finite" in codes(path)


@pytest.mark.parametrize(
    ("backbone", "config", "words"),
    (
        ("mpnet", "prefix_tuning_flat", "mpnet"),
        ("llama", "prompt_tuning", "no prompt tuning for llama"),
        ("bart", "prompt_tuning", "no prompt tuning for bart"),
        ("qwen2", "prefix_tuning", "no prefix tuning for qwen2"),
        ("modernbert", "prompt_tuning", "no prompt tuning for modernbert"),
    ),
)
def test_backbones_without_a_place_are_named(backbone, config, words):
    """Where the library has no such method, a file of it is refused by the backbone's name."""
    with pytest.raises(RejectedAdapter) as refused:
        new_adapter("new", config, replay.engine(backbone).backbone.facts)
    assert words in str(refused.value)
    assert refused.value.problems[0].code == "unsupported_point"


def test_limits_say_what_the_adapter_takes():
    """A task's limit is checked against the positions that its prompt leaves."""
    entry = {
        "name": "task",
        "adapter": "peft_prompt_feature_extraction",
        "limits": {"max_tokens": 62},
    }
    with pytest.raises(RejectedAdapter) as refused:
        replay.engine("bert").prepare(read_spec(entry, folder(".")))
    assert "between 1 and 61: its adapter takes 3 of 64 positions" in str(refused.value)


def test_a_prompt_that_leaves_no_room_for_text_is_refused(tmp_path):
    """64 virtual tokens on 64 positions could never answer."""
    copy = Changed("peft_prompt_feature_extraction", tmp_path)
    copy.tensors(lambda tensors: tensors.update(prompt_embeddings=torch.ones(64, 32)))
    path = copy.config(lambda config: config.update(num_virtual_tokens=64))
    with pytest.raises(RejectedAdapter) as refused:
        replay.engine("bert").prepare(read_spec({"name": "task", "adapter": path.name}, tmp_path))
    assert "leaves none for text" in str(refused.value)
