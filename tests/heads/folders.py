"""Backbones with language model heads as folders, and heads of golden sets in them."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
)

from adapter_runtime import EngineConfig, TaskVersion, WorkItem, open_engine
from adapter_runtime.engine.engine import LocalEngine
from serving.catalog.entries import read_spec
from tests.goldens.filling import fill_backbone
from tests.goldens.heads_cases import LABELS as LABELS

GOLDENS = Path(__file__).parent.parent / "goldens" / "heads"
_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


def language_model(name: str) -> PreTrainedModel:
    """A small model with its language model head, filled by name."""
    models: dict[str, Any] = {
        "bert": lambda: BertForMaskedLM(
            BertConfig(vocab_size=320, intermediate_size=64, max_position_embeddings=64, **_SIZES)
        ),
        "gpt2": lambda: GPT2LMHeadModel(
            GPT2Config(vocab_size=400, n_embd=32, n_layer=2, n_head=4, n_positions=64)
        ),
        "t5": lambda: T5ForConditionalGeneration(
            T5Config(
                vocab_size=400,
                d_model=32,
                d_kv=8,
                d_ff=48,
                num_layers=2,
                num_heads=4,
                decoder_start_token_id=0,
            )
        ),
    }
    model = models[name]()
    fill_backbone(model)
    return model.eval()  # type: ignore[no-any-return]


@cache
def saved(name: str, tokenizer: str) -> Path:
    """Such a model's folder with one of the small tokenizers."""
    folder = Path(mkdtemp(prefix=f"{name}-"))
    for file in (GOLDENS / tokenizer).iterdir():
        shutil.copy(file, folder)
    language_model(name).save_pretrained(folder)
    return folder


@cache
def engine_on(name: str, tokenizer: str) -> LocalEngine:
    """An engine over it."""
    opened = open_engine(str(saved(name, tokenizer)), EngineConfig(streams=1))
    assert isinstance(opened, LocalEngine)
    return opened


def task_on(engine: LocalEngine, folder: Path, **entry: Any) -> TaskVersion:
    """A task, admitted; Sources are relative to the folder."""
    return engine.prepare(read_spec({"name": "task", **entry}, folder))


def answer(
    engine: LocalEngine, version: TaskVersion, inputs: Any, *, raw: bool = False, **parameters: Any
) -> Any:
    """The typed answer, or the raw members."""
    encoded = engine.encode(version, inputs, parameters)
    items = [WorkItem(version, row, raw) for row in encoded.rows]
    outcomes = []
    for outcome in engine.run(items).outcomes:
        if isinstance(outcome, Exception):
            raise outcome
        outcomes.append(outcome)
    if raw:
        engine.decode(version, encoded, outcomes)
        return engine.raw(version, encoded, outcomes)
    return engine.decode(version, encoded, outcomes)
