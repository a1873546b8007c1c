"""Prompt tuning in AdapterHub files: configuration keys, tensor names and shapes.

Source: `PromptTuningLayer` of the `adapters` library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from adapter_runtime.methods.configuration import BadConfig, HubFile, positive_integer
from adapter_runtime.methods.prompt import Prompt, PromptSettings
from adapter_runtime.types import MODEL_LEVEL, Part, PlugPoint, Site

_POINT = PlugPoint(MODEL_LEVEL, Site.EMBEDDINGS)
_PLACES = {"prefix": 0, "prefix_after_bos": 1}
_WITHOUT = frozenset(("bart", "mbart", "plbart", "t5", "mt5", "gpt2", "gptj", "llama", "mistral"))
"""Families for which the library refuses prompt tuning, as it does for those that it hooks."""


def read_prompt(config: Mapping[str, Any], file: HubFile) -> list[Part]:
    """The Part of one prompt tuning configuration; problems go to the file's ledger.

    Raises:
        BadConfig: a configuration value cannot be used.
    """
    facts = file.facts
    if facts.is_hooked or facts.model_type in _WITHOUT or not facts.has_embedding_output:
        # PEFT's prompts replace token ids, which decoders of two stacks are fed with.
        peft = "" if facts.config.get("is_encoder_decoder") else "PEFT's prompt tuning, or "
        message = (
            f"The adapters library has no prompt tuning for {facts.model_type} backbones; "
            f"use {peft}prefix tuning."
        )
        raise BadConfig(message, "unsupported_point")
    combine = str(config.get("combine", "prefix"))
    if combine not in _PLACES:
        raise BadConfig(f"combine must be one of {', '.join(_PLACES)}, not {combine[:200]!r}.")
    length = positive_integer(config.get("prompt_length", 10), "prompt_length")
    vectors = file.ledger.take(tensor_name(file.name), (length, facts.embedding_size))
    return [Part(Prompt.name, _POINT, PromptSettings(_PLACES[combine]), {"vectors": vectors})]


def tensor_name(adapter: str) -> str:
    """Where an adapter's prompt lies in a file."""
    return f"prompt_tuning.prompt_tunings.{adapter}.prompt_embedding.weight"


def write_prompt(part: Part, name: str) -> dict[str, Tensor]:
    """A Part's vectors under their name in an AdapterHub file.

    Args:
        part: a prompt Part.
        name: the adapter's name.
    """
    return {tensor_name(name): part.tensors["vectors"]}
