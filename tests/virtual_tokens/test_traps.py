"""The traps of virtual tokens and invertible blocks, by their numbers in the reference."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from adapter_runtime.checkpoint.hub.writer import write_adapter
from adapter_runtime.checkpoint.reader import read_adapter
from adapter_runtime.errors import InvalidInput
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import MODEL_LEVEL, PlugPoint, Row, Site, WorkItem
from tests.goldens import replay
from tests.virtual_tokens.samples import Changed, case, codes, examine, folder

INVERTIBLE_POINTS = {
    PlugPoint(MODEL_LEVEL, Site.EMBEDDINGS),
    PlugPoint(MODEL_LEVEL, Site.VOCABULARY),
}


def hidden(name, backbone="bert"):
    """The hidden states of a golden's rows, by our engine."""
    found = replay.answers([case(name, backbone)])
    return [replay.members(raw)["hidden"] for _, _, raw in found]


def apart(first, second):
    return max(np.abs(one - two).max() for one, two in zip(first, second, strict=True))


def outcome(name, row, backbone="bert"):
    """What the engine makes of one row."""
    version = replay.version_of(case(name, backbone))
    return replay.engine(backbone, is_fast=True).run([WorkItem(version, row, raw=True)]).outcomes[0]


def test_t09_only_the_first_adapter_inverts_embeddings():
    """A language adapter behind a task adapter changes layers, and no embeddings."""
    assert apart(hidden("stack_task_language"), hidden("stack_language_task")) > 0.1
    for name in ("stack_task_language", "stack_language_task"):
        for found, row, raw in replay.answers([case(name)]):
            assert replay.gap(found, row, raw) < 2e-5


def test_t09_invertible_blocks_have_the_width_before_the_projection():
    """ELECTRA's embeddings are narrower than its layers, and the block is as narrow."""
    adapter = examine(folder("invertible", "electra"), "electra").adapter
    parts = [part for part in adapter.parts if part.method == "invertible"]
    assert {part.point for part in parts} == INVERTIBLE_POINTS
    assert all(len(part.tensors["f_up_bias"]) == 8 for part in parts)


def test_t10_task_adapters_lose_the_block_that_they_never_had(tmp_path):
    """The first task adapters name an invertible block; without its tensors it is dropped."""
    copy = Changed("task", tmp_path)

    def declare(config):
        config["config"] |= {"inv_adapter": "nice", "inv_adapter_reduction_factor": 2}
        config["type"] = "text_task"

    found = examine(copy.config(declare))
    assert not found.problems
    assert "invertible_dropped" in {note.code for note in found.adapter.notes}
    assert codes(copy.config(lambda config: config.pop("type"))) == ["missing_tensor"]
    assert codes(copy.config(lambda config: config.update(type="text_lang"))) == ["missing_tensor"]


@pytest.mark.parametrize("name", ("prompt_tunings", "prefix", "self_prefix", "a.b"))
@pytest.mark.parametrize("source", ("prompt", "prefix_gated", "invertible"))
def test_t22_adapters_keep_their_weights_under_any_name(name, source, tmp_path):
    """A name that stands elsewhere in a tensor's path renames nothing but the adapter."""
    facts = replay.engine("bert").backbone.facts
    adapter = examine(folder(source)).adapter
    write_adapter(adapter, tmp_path, facts, name)
    again = read_adapter(Folder(tmp_path, name), facts, {})
    assert again.name == name
    for ours, theirs in zip(again.parts, adapter.parts, strict=True):
        assert ours.point == theirs.point
        assert all((ours.tensors[key] == theirs.tensors[key]).all() for key in theirs.tensors)


def test_t25_prefix_files_hold_the_pool_once_for_each_layer():
    """Aliases are neither read again nor unexpected."""
    found = examine(folder("prefix"))
    fates = list(found.accounts.values())
    assert not found.problems
    assert fates.count("alias") == 2 * fates.count("used") == 10


def test_t25_an_alias_alone_is_no_prefix(tmp_path):
    """The pool itself must be there; nobody guesses it from a layer's copy."""
    copy = Changed("prefix_flat", tmp_path)
    path = copy.tensors(lambda tensors: tensors.pop(next(n for n in tensors if "pool" not in n)))
    assert "missing_tensor" in codes(path)


def test_t39_nothing_is_in_training_mode():
    """No dropout draws at inference: the same row answers the same number twice."""
    model = replay.engine("bert").backbone.model
    dropouts = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    assert dropouts
    assert not any(module.training for module in dropouts)
    assert apart(hidden("prefix_gated"), hidden("prefix_gated")) == 0.0


def test_t40_prompts_lengthen_no_token_output_and_use_no_position():
    """AdapterHub's prompts leave all 64 positions to the text, PEFT's take three of them."""
    for name, most in (("prompt", 64), ("peft_prompt_feature_extraction", 61)):
        assert replay.version_of(case(name)).limits.max_tokens == most
        longest = outcome(name, Row(tuple(range(5, 5 + most))))
        assert len(longest["hidden"]) == most
        error = outcome(name, Row(tuple(range(5, 6 + most))))
        assert isinstance(error, InvalidInput)
        assert f"1 to {most} tokens" in str(error)


def test_t40_a_head_at_position_zero_reads_the_prompt():
    """With `prefix` the first token is a vector of the prompt, after BOS it is BOS."""
    for name in ("prompt_classification", "prompt_after_bos_classification"):
        for found, row, raw in replay.answers([case(name)]):
            assert replay.gap(found, row, raw) < 2e-5


def test_t40_rows_with_prompts_do_not_see_each_other():
    """Where the library's prompts see the padding of longer rows, ours never meet any."""
    found = [case(name) for name in ("prompt", "prompt_after_bos", "peft_prompt_seq_cls")]
    alone = [replay.members(raw) for each in found for _, _, raw in replay.answers([each])]
    order = [(each, row) for each in found for row in range(len(each.rows()))]
    together = {(each.name, row): raw for each, row, raw in replay.answers(found)}
    for (each, row), before in zip(order, alone, strict=True):
        after = replay.members(together[each.name, row])
        assert all(np.abs(after[key] - before[key]).max() < 1e-5 for key in before)


@pytest.mark.parametrize("backbone", ("bert", "roberta", "electra"))
def test_t41_only_peft_moves_positions_behind_a_prefix(backbone):
    """PEFT's prefixes count as tokens that went before; AdapterHub's count for nothing."""
    moved = replay.version_of(case("peft_prefix_feature_extraction", backbone))
    assert moved.extension.shift == 3
    assert moved.limits.max_tokens == 61
    kept = replay.version_of(case("prefix", backbone))
    assert kept.extension is None
    assert kept.limits.max_tokens == 64
