"""A configuration may hold anything; the answer is a verdict, never another exception."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tests.checkpoint.editing import Broken

VALUES: tuple[Any, ...] = (
    None,
    [],
    {},
    "x",
    "(",
    -1,
    1e308,
    float("inf"),
    True,
    [[1]],
    [None],
    {"0": None, "default": "q"},
)
CHECKPOINTS = (
    "bert/seq_bn",
    "bert/lora_gated",
    "bert/ia3_gated",
    "bert/union",
    "bert/legacy_first_format",
    "bert/peft_lora_patterns",
    "bert/peft_ia3",
)


def places(config: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Every key at the top and under `config`, with the object that holds it."""
    yield from ((config, key) for key in list(config))
    inner = config.get("config")
    if isinstance(inner, dict):
        yield from ((inner, key) for key in [*inner, "leave_out", "configs", "architecture"])


@pytest.mark.parametrize("path", CHECKPOINTS)
def test_any_value_of_any_key_gets_a_verdict(path, tmp_path):
    """Each key in turn takes values that nobody expects."""
    copy = Broken(path, tmp_path / "copy")
    file = copy.folder / "adapter_config.json"
    config = json.loads(file.read_text())
    for holder, key in places(config):
        before = dict(holder)
        for value in VALUES:
            holder[key] = value
            file.write_text(json.dumps(config))
            assert all(code for code in copy.codes()), (key, value)
        holder.clear()
        holder.update(before)


def test_two_names_for_one_place_are_not_merged(tmp_path):
    """A tensor with and without the base model's prefix is one too many."""
    copy = Broken("bert/seq_bn", tmp_path / "copy")

    def double(tensors):
        name = next(iter(tensors))
        tensors[name.removeprefix("bert.")] = torch.zeros(tensors[name].shape)

    assert copy.tensors(double).codes() == ["unexpected_tensor"]
