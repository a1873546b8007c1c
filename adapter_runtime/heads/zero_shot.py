"""Labels that only the request knows: the `zero_shot_classification` head, over one for NLI.

Each label is put into a sentence, and the head is asked whether the sentence follows from the text.

Source: transformers 5 `ZeroShotClassificationPipeline`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from adapter_runtime.backbone.tokenizer import Tokenizer, Tokens
from adapter_runtime.errors import InvalidInput, TooLong
from adapter_runtime.heads.answers import LabelScore
from adapter_runtime.heads.entailment import EntailmentHead, EntailmentSettings
from adapter_runtime.heads.inputs import (
    read_fields,
    read_list,
    read_parameters,
    read_text,
    refuse_unless_truncating,
    row_limit,
    yes_or_no,
)
from adapter_runtime.heads.layers import softmax
from adapter_runtime.heads.windows import Shown, fit_pair_windows, is_windowed
from adapter_runtime.types import Aggregation, Arrays, Encoded, HeadSpec, Kind, Limits, Overflow

_LABELS = "candidate_labels"
_TEMPLATE = "This example is {}."
_PLACE = "{}"


def _labels(value: Any, field: str) -> tuple[str, ...]:
    """Labels, as a list or with commas between them."""
    if isinstance(value, str):
        value = [label.strip() for label in value.split(",") if label.strip()]
    return read_list(value, field)


def _template(value: Any, field: str) -> str:
    text = read_text(value, field)
    if text.count(_PLACE) != 1:
        raise InvalidInput("expected one {} where the label goes.", field)
    return text


_PARAMETERS = {_LABELS: _labels, "multi_label": yes_or_no, "hypothesis_template": _template}


@dataclass(frozen=True, slots=True)
class LabelsAsked:
    """What decode needs of a request: its labels, and what the text's windows show."""

    labels: tuple[str, ...]
    shown: Shown | None = None


@dataclass(frozen=True)
class ZeroShotHead(EntailmentHead):
    """The labels of a request, by how surely the text entails each."""

    kinds: tuple[Kind, ...] = (Kind.ZERO_SHOT_CLASSIFICATION,)
    overflows: tuple[Overflow, ...] = (Overflow.TRUNCATE, Overflow.REJECT, Overflow.WINDOW)
    aggregations: tuple[Aggregation, ...] = (Aggregation.MEAN, Aggregation.MAX)

    def encode(
        self,
        spec: HeadSpec,
        inputs: Any,
        parameters: Mapping[str, Any],
        tokenizer: Tokenizer,
        limits: Limits,
    ) -> Encoded:
        """A row per label, the pair of the text and the label's sentence, or one per window.

        See `HeadKind.encode`.
        """
        text, known = _read(inputs, parameters)
        labels, template = known[_LABELS], known.get("hypothesis_template", _TEMPLATE)
        sentences = [template.replace(_PLACE, label) for label in labels]
        if is_windowed(limits):
            field = f"parameters.{_LABELS}"
            windows, shown = fit_pair_windows(tokenizer, text, sentences, limits, field)
            rows = tuple(tokenizer.row(tokens) for tokens in windows)
            return Encoded(rows, LabelsAsked(labels, shown), known)
        found, is_cut = _fit(tokenizer, text, sentences, limits)
        rows = tuple(tokenizer.row(tokens) for tokens in found)
        return Encoded(rows, LabelsAsked(labels), known, is_cut)

    def decode(
        self, spec: HeadSpec, encoded: Encoded, outcomes: Sequence[Arrays]
    ) -> list[LabelScore]:
        """The labels, best first; their scores add up to 1 unless several may hold."""
        asked: LabelsAsked = encoded.context
        logits = np.stack([outcome["logits"] for outcome in outcomes])
        logits = logits.reshape(len(asked.labels), -1, logits.shape[-1]).swapaxes(0, 1)
        yes = cast(EntailmentSettings, spec.settings).yes
        if encoded.parameters.get("multi_label", False) or len(asked.labels) == 1:
            no = -1 if yes == 0 else 0
            shares = softmax(logits[:, :, [no, yes]])[:, :, 1]
        else:
            shares = softmax(logits[:, :, yes])
        scores = shares[0] if asked.shown is None else asked.shown.pool(shares)
        pairs = zip(asked.labels, scores.tolist(), strict=True)
        found = [LabelScore(label, score) for label, score in pairs]
        return sorted(found, key=lambda item: item.score, reverse=True)

    def raw(self, spec: HeadSpec, encoded: Encoded, outcomes: Sequence[Arrays]) -> dict[str, Any]:
        """`logits [candidate labels][labels]`."""
        return {"logits": [outcome["logits"].tolist() for outcome in outcomes]}


def _read(inputs: Any, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The text and the parameters, which may stand beside the text."""
    known = read_parameters(parameters, _PARAMETERS)
    text, field = inputs, "inputs"
    if isinstance(inputs, Mapping):
        fields = read_fields(inputs, ("text",), tuple(_PARAMETERS))
        text, field = fields.pop("text"), "inputs.text"
        for name, value in fields.items():
            if name in known:
                raise InvalidInput("is given in the parameters too.", f"inputs.{name}")
            if value is not None:
                known[name] = _PARAMETERS[name](value, f"inputs.{name}")
    if _LABELS not in known:
        message = "is missing; send the labels to choose from, such as [billing, delivery]."
        raise InvalidInput(message, f"parameters.{_LABELS}")
    return read_text(text, field), known


def _fit(
    tokenizer: Tokenizer, text: str, sentences: Sequence[str], limits: Limits
) -> tuple[list[Tokens], bool]:
    """A row per sentence, of which only the text is cut, and whether it was."""
    most = row_limit(tokenizer, limits)
    found = tokenizer.pairs(text, sentences, most, keeps_pairs=True)
    for tokens, total in found:
        if total > most:
            refuse_unless_truncating(limits, total, most, "inputs")
        if len(tokens) > most:
            message = f"a label's sentence leaves no room for the text in {most} tokens."
            raise TooLong(message, f"parameters.{_LABELS}")
    return [tokens for tokens, _ in found], any(total > most for _, total in found)
