"""What a classification head over text pairs says when it is asked: does the one follow?

One of its labels says yes. It is the only one, the one whose name begins with "entail", or the one
that the task names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from torch import Tensor

from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.heads.base import HeadStates
from adapter_runtime.heads.layers import Stacks, StackSettings, row_logits
from adapter_runtime.types import Arrays, HeadSpec, Note


@dataclass(frozen=True, slots=True)
class EntailmentSettings:
    """A classification head that is asked for one of its labels.

    Args:
        stack: the head.
        yes: the label that says yes.
        is_alone: the label's logit stands by itself: it is the only one, or labels exclude nothing.
    """

    stack: StackSettings
    yes: int
    is_alone: bool


@dataclass(frozen=True)
class EntailmentHead:
    """What kinds over such heads have in common: their logits."""

    def forward(
        self, spec: HeadSpec, weights: Mapping[str, Tensor], states: HeadStates, raw: Sequence[bool]
    ) -> list[Arrays]:
        """`logits [labels]` of each row."""
        stack = cast(EntailmentSettings, spec.settings).stack
        found = row_logits(Stacks(stack, [weights], [len(raw)]), states)
        return [{"logits": logits} for logits in found]


def as_entailment(
    spec: HeadSpec, head_type: str, options: Mapping[str, Any], least: int, task: str
) -> HeadSpec:
    """A classification head's spec as that of a kind that asks it for one label.

    Args:
        spec: the classification head.
        head_type: the kind's own.
        options: the task's; `entailment` is the label's name or number.
        least: labels that the kind needs.
        task: for messages.

    Raises:
        RejectedAdapter: no label says yes, or there are too few.
    """
    labels = spec.labels
    if len(labels) < least:
        message = f"The head has {len(labels)} label; {least} are needed: yes and no."
        raise RejectedAdapter(task, [Note("too_few_labels", message)])
    is_alone = len(labels) == 1 or spec.head_type == "multilabel_classification"
    yes = _yes(labels, options.get("entailment"), task)
    settings = EntailmentSettings(cast(StackSettings, spec.settings), yes, is_alone)
    return replace(spec, head_type=head_type, settings=settings)


def _yes(labels: Sequence[str], named: str | int | None, task: str) -> int:
    if named is None and len(labels) == 1:
        return 0
    if named is None:
        found = [n for n, label in enumerate(labels) if label.lower().startswith("entail")]
    elif isinstance(named, int):
        found = [named] if 0 <= named < len(labels) else []
    else:
        found = [number for number, label in enumerate(labels) if label == named]
    if found:
        return found[0]
    what = "No label says yes by its name" if named is None else f"There is no label {named!r}"
    message = f"{what}; set options.entailment to one of {', '.join(labels)}, or its number."
    raise RejectedAdapter(task, [Note("no_entailment", message)])
