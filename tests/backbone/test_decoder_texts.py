"""Texts through the tokenizers of decoders, from saved files to raw answers."""

from __future__ import annotations

import json
import zipfile
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import orjson
import pytest
import torch
from transformers import AutoConfig, AutoModel

from adapter_runtime.backbone.load import load_backbone
from adapter_runtime.sources.folder import Folder
from serving.batch import command
from serving.settings import load_settings
from tests.goldens import replay
from tests.goldens.filling import fill_backbone

HOME = replay.SETS / "decoder_texts"
KINDS = ("gpt2", "llama", "llama-template", "mistral-eos", "qwen2", "qwen3")
TASKS = ("classification", "tagging", "hidden")
TOLERANCE = 1e-4  # fp32


@cache
def home_of(kind: str) -> Path:
    """A tokenizer's backbone with weights, and its adapters, as a user has them."""
    root = Path(mkdtemp(prefix="texts-"))
    with zipfile.ZipFile(HOME / "folders.zip") as archive:
        archive.extractall(root)
    folder = root / kind / "backbone"
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    fill_backbone(AutoModel.from_config(AutoConfig.from_pretrained(folder))).save_pretrained(folder)
    # The library's own configuration, not the one that transformers has just written.
    (folder / "config.json").write_bytes(files["config.json"])
    return root / kind


@cache
def stored() -> dict[str, np.ndarray]:
    """What the library computed for each text."""
    with np.load(HOME / "expected.npz") as archive:
        return dict(archive)


def texts() -> list[Any]:
    """The texts as a request's inputs."""
    return [
        dict(zip(("text", "text_pair"), text, strict=True)) if isinstance(text, list) else text
        for text in json.loads((HOME / "texts.json").read_text())
    ]


def score(kind: str, lines: list[dict[str, Any]], path: Path) -> tuple[int, list[Any]]:
    """What `polyhead batch --raw` exits with and writes."""
    home = home_of(kind)
    names = (*TASKS, "question_answering")
    tasks = {"tasks": [{"name": name, "adapter": str(home / name)} for name in names]}
    tasks["tasks"][2]["kind"] = "feature-extraction"
    (path / "tasks.yaml").write_text(json.dumps(tasks))
    (path / "in.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    settings = load_settings(tasks=str(path / "tasks.yaml"), backbone=str(home / "backbone"))
    code = command.batch(path / "in.jsonl", path / "out.jsonl", settings, raw=True)
    return code, [orjson.loads(line) for line in (path / "out.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize("kind", KINDS)
def test_texts_become_the_rows_that_the_library_makes(kind):
    """Tokens before and after a text are those of the tokenizer's class or template."""
    folder = Folder(home_of(kind) / "backbone", kind)
    tokenizer = load_backbone(folder, torch.device("cpu"), torch.float32).tokenizer
    for number, text in enumerate(json.loads((HOME / "texts.json").read_text())):
        tokens, _ = tokenizer.encode(*(text if isinstance(text, list) else (text,)))
        assert tokens.ids == tuple(stored()[f"{kind}/ids{number}"])


@pytest.mark.parametrize("kind", KINDS)
def test_batch_answers_texts_with_the_librarys_numbers(kind, tmp_path):
    """Classification, tagging, answering and states, from files to raw answers."""
    lines = [{"task": task, "inputs": text} for task in TASKS for text in texts()[:2]]
    lines.append({"task": "classification", "inputs": texts()[2]})
    question, context = texts()[2].values()
    lines.append(
        {"task": "question_answering", "inputs": {"question": question, "context": context}}
    )
    code, answers = score(kind, lines, tmp_path)
    assert code == 0, answers
    for number, answer in enumerate(answers[:6]):
        name = f"{kind}/{answer['task']}{number % 2}"
        found = np.array(answer.get("logits") or answer["hidden"])
        assert np.abs(found - stored()[name]).max() < TOLERANCE
    assert np.abs(answers[6]["logits"] - stored()[f"{kind}/classification2"]).max() < TOLERANCE
    spans = [answers[7]["logits"]["start"], answers[7]["logits"]["end"]]
    assert np.abs(spans - stored()[f"{kind}/question_answering2"]).max() < TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_empty_texts_are_answered_or_refused_with_a_reason(kind, tmp_path):
    """A text without tokens is an error of its own line; one of special tokens only is a text."""
    lines = [{"task": task, "inputs": text} for task in TASKS for text in ("", "the film")]
    code, answers = score(kind, lines, tmp_path)
    for answer in answers[::2]:
        if "error" in answer:
            assert answer["error"]["code"] == "invalid_input"
            assert "text" in answer["error"]["message"]
    assert code == sum("error" in answer for answer in answers)
    assert not any("error" in answer for answer in answers[1::2])
