"""Task classes by name, and their heads on a given backbone.

One table serves three formats: files that `adapters` saved from a task class, the classifiers
that PEFT saves beside an adapter, and language models' heads in a backbone's own folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.heads.classes import (
    BY_FAMILY,
    CAUSAL,
    CHOICE,
    FAMILIES,
    LM_HEAD_MODEL,
    MASKED,
    QUESTION,
    SEQ2SEQ,
    SEQUENCE,
    TOKEN,
    StaticHead,
)
from adapter_runtime.heads.layers import StackSettings, Summary

_LABELLING = ("classification", "multilabel_classification", "question_answering")
_MASKED = (*_LABELLING, "tagging", "multiple_choice", "masked_lm")
_ENCODERS = (*_MASKED, "causal_lm", "dependency_parsing")
_DECODERS = (*_LABELLING, "tagging", "causal_lm")
_SEQ2SEQ = (*_LABELLING, "seq2seq_lm")
FLEX_TYPES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("Bert", "DistilBert", "Electra", "Roberta", "XLMRoberta"), _ENCODERS),
    **dict.fromkeys(("Albert", "Deberta", "DebertaV2"), _MASKED),
    **dict.fromkeys(("GPT2", "Llama", "Mistral"), _DECODERS),
    **dict.fromkeys(("Bart", "MBart", "MT5", "PLBart", "T5"), _SEQ2SEQ),
}
"""Families that the `adapters` library has flexible heads for, and of which types."""

FLEX_FAMILIES = frozenset(FLEX_TYPES)
FLEX_SUFFIXES = ("AdapterModel", "ModelWithHeads")
_SUFFIXES = (
    *(SEQUENCE, CHOICE, TOKEN, QUESTION, MASKED, CAUSAL, SEQ2SEQ, LM_HEAD_MODEL),
    *FLEX_SUFFIXES,
)
TASK_SUFFIXES: Mapping[str, str] = {
    "SEQ_CLS": SEQUENCE,
    "TOKEN_CLS": TOKEN,
    "QUESTION_ANS": QUESTION,
}
"""PEFT task types to the task class that they are trained on."""

LANGUAGE_TASKS = frozenset({"CAUSAL_LM", "SEQ_2_SEQ_LM"})
"""PEFT task types whose adapters are trained under the backbone's own language model head."""

STATIC_HEADS: Mapping[str, StaticHead] = {
    f"{family}{suffix}": head
    for family, heads in BY_FAMILY.items()
    for suffix, head in heads.items()
}
"""Task classes to their heads."""


HEAD_MODULES = frozenset(
    module.split(".")[0]
    for head in STATIC_HEADS.values()
    if not head.is_language and not head.has_prediction_head
    for module in head.modules
) - {"pooler"}
"""First path segments under which task classes of any family keep their classifiers."""


def head_modules(model_type: str) -> frozenset[str]:
    """First path segments under which the task classes of one model type keep their heads."""
    heads = BY_FAMILY.get(family_of(model_type) or "", {}).values()
    return frozenset(
        module.split(".")[0]
        for head in heads
        for module in (*head.modules, *head.norms, *filter(None, (head.spare_bias,)))
    )


def family_of(model_type: str) -> str | None:
    """The class name prefix of a model type, None where no table row knows it."""
    return next((family for family, known in FAMILIES.items() if known == model_type), None)


def language_heads(model_type: str) -> Mapping[str, StaticHead]:
    """The language model classes of a model type with their heads."""
    family = family_of(model_type) or ""
    heads = BY_FAMILY.get(family, {})
    return {f"{family}{suffix}": head for suffix, head in heads.items() if head.is_language}


def model_type_of(class_name: str) -> str | None:
    """The model type of a task class or a flexible model class, None for unknown classes."""
    for suffix in _SUFFIXES:
        if class_name.endswith(suffix):
            return FAMILIES.get(class_name.removesuffix(suffix))
    return None


def stack_on(head: StaticHead, facts: BackboneFacts) -> StackSettings:
    """The layer stack of a task class's head on a backbone."""
    config = facts.config
    summary, marker = summary_of(facts, is_static=True)
    settings = replace(
        head.settings, activation=activation_on(head, facts), summary=summary, marker=marker
    )
    if not head.has_prediction_head:
        return settings
    return replace(
        settings,
        hidden_bias=bool(config.get("classifier_bias", False)),
        norm_eps=float(config.get("norm_eps", 1e-5)),
        norm_bias=bool(config.get("norm_bias", False)),
        summary="mean" if config.get("classifier_pooling") == "mean" else "first",
    )


def activation_on(head: StaticHead, facts: BackboneFacts) -> str | None:
    """The activation between a class's layers, which some models' configurations name."""
    named = facts.config.get(head.activation_key) if head.activation_key else None
    return named if isinstance(named, str) else head.activation


def summary_of(facts: BackboneFacts, *, is_static: bool) -> tuple[Summary, int | None]:
    """Which token stands for a row, and the token id that the rule looks at.

    Hugging Face's classes look for the last token that is no padding; flexible heads count the
    tokens that are none, which differs where padding stands between others.
    """
    if facts.summary == "eos":
        return "eos", _token(facts.config, "eos_token_id")
    if facts.summary == "last":
        return "last" if is_static else "counted", _token(facts.config, "pad_token_id")
    return "first", None


def _token(config: Mapping[str, Any], key: str) -> int | None:
    value = config.get(key)
    return value if isinstance(value, int) else None
