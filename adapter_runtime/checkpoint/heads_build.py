"""From a head's layout and a ledger of tensors to HeadWeights, whatever file they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.heads.layers import StackSettings, activation, tensor_shapes
from adapter_runtime.ledger import Ledger
from adapter_runtime.types import HeadSpec, HeadWeights, Note

LABELLED = ("classification", "multilabel_classification", "tagging")


@dataclass(frozen=True)
class HeadLayout:
    """What a checkpoint says about a head before its tensors are taken.

    Args:
        name: the head's name in the checkpoint.
        head_type: a key of `HEADS`.
        settings: the layer stack.
        prefixes: where each layer's `.weight` and `.bias` lie in the file, layer by layer.
        num_labels: rows of the last layer; None takes what the file has.
        labels: label names by id, as far as the checkpoint has them.
    """

    name: str
    head_type: str
    settings: StackSettings
    prefixes: tuple[str, ...]
    num_labels: int | None = None
    labels: Mapping[int, str] | None = None


def build_head(
    layout: HeadLayout,
    ledger: Ledger,
    facts: BackboneFacts,
    labels: Sequence[str] | None,
    options: Mapping[str, Any],
    file_digest: str,
) -> HeadWeights:
    """Take a head's tensors; what is wrong becomes problems of the ledger.

    Args:
        layout: the head.
        ledger: the file's tensors.
        facts: the backbone.
        labels: the task's own label names, which win over the checkpoint's.
        options: the task's options; `multi_label` and `problem_type` are read here.
        file_digest: names the files' content.
    """
    layout = _with_options(layout, options)
    _check_settings(layout.settings, ledger, facts)
    num_out = _num_out(layout, ledger)
    tensors = _take(layout, ledger, facts.hidden_size, num_out)
    names, notes = _labels(layout, num_out, labels, ledger)
    facts_of_head = repr((file_digest, layout.head_type, layout.settings, names, layout.prefixes))
    spec = HeadSpec(
        head_type=layout.head_type,
        settings=layout.settings,
        labels=names,
        digest=hashlib.sha256(facts_of_head.encode()).hexdigest(),
        name=layout.name,
    )
    return HeadWeights(spec, tensors, notes)


def default_labels(count: int) -> tuple[str, ...]:
    """The label names of a head that was saved without any."""
    return tuple(f"LABEL_{number}" for number in range(count))


def _with_options(layout: HeadLayout, options: Mapping[str, Any]) -> HeadLayout:
    problem = options.get("problem_type")
    if layout.head_type not in ("classification", "multilabel_classification"):
        return layout
    if options.get("multi_label") or problem == "multi_label_classification":
        return replace(layout, head_type="multilabel_classification")
    if problem == "regression":
        return replace(layout, settings=replace(layout.settings, function="none"))
    return layout


def _check_settings(settings: StackSettings, ledger: Ledger, facts: BackboneFacts) -> None:
    if settings.use_pooler and not facts.has_pooler:
        ledger.problem(
            "no_pooler",
            f"The head reads the pooler, but {facts.model_name} brought no trained pooler weights; "
            "use the backbone that the head was trained on.",
        )
    if settings.activation and settings.layers > 1:
        try:
            activation(settings.activation)
        except KeyError:
            ledger.problem(
                "unknown_activation", f"The head's activation {settings.activation!r} is not known."
            )


def _num_out(layout: HeadLayout, ledger: Ledger) -> int:
    if layout.head_type == "multiple_choice":
        return 1
    if layout.head_type == "question_answering":
        return 2
    shape = ledger.shape(f"{layout.prefixes[-1]}.weight")
    return layout.num_labels or (shape[0] if shape else 2)


def _take(layout: HeadLayout, ledger: Ledger, width: int, num_out: int) -> dict[str, Tensor]:
    tensors = {}
    for name, shape in tensor_shapes(layout.settings, width, num_out).items():
        layer, _, kind = name.partition(".")
        tensors[name] = ledger.take(f"{layout.prefixes[int(layer)]}.{kind}", shape)
    return tensors


def _labels(
    layout: HeadLayout, num_out: int, own: Sequence[str] | None, ledger: Ledger
) -> tuple[tuple[str, ...], tuple[Note, ...]]:
    found = layout.labels or {}
    if layout.head_type not in LABELLED:
        return tuple(own or (found[key] for key in sorted(found))), ()
    if own is not None:
        if len(own) != num_out:
            ledger.problem(
                "label_count", f"The task names {len(own)} labels, the head has {num_out}."
            )
        return tuple(own), ()
    if ledger.problems():
        return (), ()  # Only tensors that fit prove the count, which may be any number.
    defaults = default_labels(num_out)
    names = tuple(found.get(number, default) for number, default in enumerate(defaults))
    is_whole = not found or set(found) == set(range(num_out))
    message = f"The checkpoint names {len(found)} labels for {num_out}; the others are LABEL_i."
    return names, () if is_whole else (Note("incomplete_labels", message),)
