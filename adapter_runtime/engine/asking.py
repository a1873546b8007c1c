"""Kinds that no checkpoint's head is of: they ask a classifier of text pairs for one label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapter_runtime.heads.entailment import as_entailment
from adapter_runtime.heads.table import HEADS
from adapter_runtime.types import HeadSpec, Kind

CLASSIFIERS = frozenset({"classification", "multilabel_classification"})
ASKED: Mapping[Kind, tuple[str, int]] = {
    Kind.ZERO_SHOT_CLASSIFICATION: ("zero_shot_classification", 2),
    Kind.TEXT_RANKING: ("text_ranking", 1),
}
"""Kinds that ask a classifier for one of its labels: the head type that does, and the labels that
it needs."""


def kinds_of(head_type: str) -> tuple[Kind, ...]:
    """What a checkpoint's head of a type can answer, default first."""
    return (*HEADS[head_type].kinds, *(ASKED if head_type in CLASSIFIERS else ()))


def answering_type(head_type: str, kind: Kind) -> str:
    """The head type that answers a kind with the weights of a checkpoint's head."""
    return ASKED[kind][0] if kind in ASKED else head_type


def answering_spec(spec: HeadSpec, kind: Kind, options: Mapping[str, Any], task: str) -> HeadSpec:
    """A checkpoint's head as what answers a kind; its weights and digest stay.

    Raises:
        RejectedAdapter: the head has no label that the kind asks for.
    """
    if kind not in ASKED or spec.head_type not in CLASSIFIERS:
        return spec
    head_type, least = ASKED[kind]
    return as_entailment(spec, head_type, options, least, task)
