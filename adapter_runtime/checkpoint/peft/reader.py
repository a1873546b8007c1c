"""PEFT folders: which reader a checkpoint goes to, and what goes with every method.

Source: https://huggingface.co/docs/peft/developer_guides/checkpoint; peft 0.21.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.heads.peft import head_tensor_names
from adapter_runtime.checkpoint.peft.checks import refuse_unsupported
from adapter_runtime.checkpoint.peft.file import PeftFile, task_prefix
from adapter_runtime.checkpoint.peft.folded import read_adalora, read_vera
from adapter_runtime.checkpoint.peft.ia3 import read_ia3
from adapter_runtime.checkpoint.peft.leftovers import name_leftovers
from adapter_runtime.checkpoint.peft.lora import read_lora
from adapter_runtime.checkpoint.peft.lycoris import read_loha, read_lokr
from adapter_runtime.checkpoint.peft.prompts import PROMPT_TYPES, read_prompt_learning
from adapter_runtime.checkpoint.peft.saved import (
    read_ln_tuning,
    read_saved,
    read_token_rows,
    read_trainable_tokens,
)
from adapter_runtime.ledger import Ledger
from adapter_runtime.methods.configuration import BadConfig
from adapter_runtime.types import Note, Part

CONFIG_FILE = "adapter_config.json"
WEIGHT_FILES = ("adapter_model.safetensors", "adapter_model.bin")


def check_config(config: Mapping[str, Any]) -> list[Note]:
    """Why a config alone shows that its file cannot be read; empty where only weights can tell."""
    try:
        refuse_unsupported(config, _READERS)
    except BadConfig as error:
        return [Note(error.code, str(error))]
    return []


def read_peft(
    config: Mapping[str, Any], ledger: Ledger, facts: BackboneFacts
) -> tuple[tuple[Part, ...], tuple[Note, ...]]:
    """The Parts of a PEFT checkpoint and what to know about them; problems go to the ledger."""
    parts: list[Part] = []
    notes: list[Note] = []
    try:
        # First of all: prompt types have no tensors by which to find the task model's prefix.
        refuse_unsupported(config, _READERS)
        file = PeftFile(config, facts, ledger, task_prefix(config, ledger, facts), notes)
        ledger.alias(head_tensor_names(config, ledger.names(), facts), "head")
        kind = str(config["peft_type"])
        parts += _READERS[kind](file)
        if kind in _FOLDED:
            message = f"{_FOLDED[kind]} is read as plain LoRA that computes the same."
            notes.append(Note("folded_method", message))
        if file.prefix == _ANSWERING and facts.model_type in _RANDOM_BACKBONES:
            notes.append(_random_backbone(facts))
        parts += read_saved(file) + read_token_rows(file)
        name_leftovers(file)
    except BadConfig as error:
        ledger.problem(error.code, str(error))
        ledger.alias(ledger.unused(), "not read")
    return tuple(parts), tuple(notes)


def _random_backbone(facts: BackboneFacts) -> Note:
    message = (
        f"Its class keeps the {facts.model_type} backbone under `{_ANSWERING[:-1]}`, where "
        "transformers finds no weights of a causal language model's checkpoint and starts from "
        "random ones: its answers are right only if it was trained on this backbone's weights."
    )
    return Note("random_backbone", message)


_ANSWERING = "transformer."
_RANDOM_BACKBONES = ("llama", "qwen2", "qwen3")
"""Model types whose question answering class has another base model attribute than all others."""


def _read_prompts(file: PeftFile) -> list[Part]:
    return read_prompt_learning(file.config, file.ledger, file.facts)


_FOLDED = {"ADALORA": "AdaLoRA", "VERA": "VeRA", "LOHA": "LoHa", "LOKR": "LoKr"}
_READERS: Mapping[str, Callable[[PeftFile], list[Part]]] = {
    "LORA": read_lora,
    "ADALORA": read_adalora,
    "VERA": read_vera,
    "LOHA": read_loha,
    "LOKR": read_lokr,
    "IA3": read_ia3,
    "LN_TUNING": read_ln_tuning,
    "TRAINABLE_TOKENS": read_trainable_tokens,
    **dict.fromkeys(PROMPT_TYPES, _read_prompts),
}
