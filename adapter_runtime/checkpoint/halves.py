"""Adapters of an encoder or a decoder alone, where the backbone has both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapter_runtime.backbone.facts import BackboneFacts

HALVES: Mapping[str, Sequence[str]] = {
    "encoder": ("EncoderModel", "ForTokenClassification"),
    "decoder": ("ForCausalLM",),
}
"""The halves, and how the classes end that have only the one."""


def half_of(config: Mapping[str, Any], facts: BackboneFacts) -> str | None:
    """The half that the class in an AdapterHub configuration has; None for whole models."""
    if not facts.config.get("is_encoder_decoder"):
        return None
    name = str(config.get("model_class"))
    return next((half for half, ends in HALVES.items() if name.endswith(tuple(ends))), None)


def half_message(half: str, facts: BackboneFacts) -> str:
    """Why an adapter of one half is refused."""
    classes = " and ".join(f"*{end}" for end in HALVES[half])
    return (
        f"It was trained on the {half} of {facts.model_type} alone, as {classes} have it; here an "
        "encoder-decoder runs whole, so train it on a class that has both halves."
    )
