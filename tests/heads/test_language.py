"""Masked words and next tokens: answers as the hub's pipelines give them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, pipeline

from adapter_runtime.errors import InvalidInput, RejectedAdapter
from tests.heads.folders import answer, engine_on, language_model, saved, task_on

TEXT = "The old dog [MASK] in the garden."
FILLS: tuple[tuple[str, dict[str, Any]], ...] = (
    (TEXT, {}),
    (TEXT, {"top_k": 2}),
    ("The [MASK] dog, it [MASK] and [MASK].", {"top_k": 2}),
    ("a [MASK] .", {"targets": ["dog", "the", "zzz", "the"]}),
    ("a [MASK] .", {"targets": "dog", "top_k": 3}),
)


@pytest.mark.parametrize(("text", "parameters"), FILLS)
def test_masks_are_filled_as_the_pipeline_fills_them(text: str, parameters: dict[str, Any]) -> None:
    """Scores, tokens, their texts and the sentences; a list per mask where there are several."""
    folder = saved("bert", "wordpiece")
    fill = pipeline(
        "fill-mask", model=language_model("bert"), tokenizer=AutoTokenizer.from_pretrained(folder)
    )
    engine = engine_on("bert", "wordpiece")
    found = answer(engine, task_on(engine, folder, kind="fill-mask"), text, **parameters)
    expected = fill(text, **parameters)
    if isinstance(found[0], list):
        assert [len(each) for each in expected] == [len(each) for each in found]
        expected = [fill for each in expected for fill in each]
        found = [fill for each in found for fill in each]
    for theirs, ours in zip(expected, map(asdict, found), strict=True):
        assert ours.pop("score") == pytest.approx(theirs.pop("score"), abs=1e-6)
        assert ours == theirs


def test_a_raw_answer_has_every_tokens_logits() -> None:
    """With a mask or without one; only the answer itself needs a mask."""
    engine = engine_on("bert", "wordpiece")
    version = task_on(engine, saved("bert", "wordpiece"), kind="fill-mask")
    for text in (TEXT, "no masks here"):
        length = len(engine.encode(version, text, {}).rows[0].input_ids)
        assert np.shape(answer(engine, version, text, raw=True)["logits"]) == (length, 320)
    with pytest.raises(InvalidInput, match=r"write \[MASK\]"):
        answer(engine, version, "no masks here")


def test_unknown_targets_are_named() -> None:
    """A parameter that leaves nothing to choose from is the caller's."""
    engine = engine_on("bert", "wordpiece")
    version = task_on(engine, saved("bert", "wordpiece"), kind="fill-mask")
    with pytest.raises(InvalidInput, match=r"parameters\.targets"):
        engine.encode(version, TEXT, {"targets": []})


@pytest.mark.parametrize("name", ("gpt2", "t5"))
def test_the_next_token_is_the_likeliest(name: str) -> None:
    """A decoder's last token says it, an encoder-decoder's first."""
    engine, folder = engine_on(name, "bpe"), saved(name, "bpe")
    version = task_on(engine, folder, kind="text-generation")
    ids = torch.tensor([engine.encode(version, "The old dog", {}).rows[0].input_ids])
    model = language_model(name)
    more = {"decoder_input_ids": torch.tensor([[0]])} if name == "t5" else {}
    with torch.no_grad():
        logits = model(ids, **more).logits[0]
    expected = engine.backbone.tokenizer.text([int(logits[-1].argmax())])
    (found,) = answer(engine, version, "The old dog")
    assert expected == found.generated_text
    (whole,) = answer(engine, version, "The old dog", return_full_text=True)
    assert f"The old dog{expected}" == whole.generated_text


def test_more_than_one_token_is_refused() -> None:
    """Rather than an answer that stops short without saying so."""
    engine = engine_on("gpt2", "bpe")
    version = task_on(engine, saved("gpt2", "bpe"), kind="text-generation")
    with pytest.raises(InvalidInput, match="one new token at a time"):
        engine.encode(version, "The", {"max_new_tokens": 20})
    engine.encode(version, "The", {"max_new_tokens": 1})


def test_a_backbone_without_such_a_head_says_so(tmp_path: Path) -> None:
    """A bare encoder cannot fill masks, nor can it write."""
    engine = engine_on("bert", "wordpiece")
    with pytest.raises(RejectedAdapter, match="missing_head"):
        task_on(engine, tmp_path, kind="text-generation")
