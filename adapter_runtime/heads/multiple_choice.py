"""Which choice fits a context: `multiple_choice` heads score one row per choice.

The request gives the number of choices; what a head's configuration says about it is only how the
head was trained.

Source: `adapters` 1.3.0 `MultipleChoiceHead`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from torch import Tensor

from adapter_runtime.backbone.tokenizer import Tokenizer
from adapter_runtime.heads.answers import ChoiceScore
from adapter_runtime.heads.base import HeadStates
from adapter_runtime.heads.inputs import (
    read_fields,
    read_list,
    read_parameters,
    read_text,
    refuse_unless_truncating,
    row_limit,
    whole_number,
)
from adapter_runtime.heads.layers import Stacks, StackSettings, row_logits, softmax
from adapter_runtime.heads.windows import Shown, fit_pair_windows, is_windowed
from adapter_runtime.types import Aggregation, Arrays, Encoded, HeadSpec, Kind, Limits, Overflow

_PARAMETERS = {"top_k": whole_number(1)}


@dataclass(frozen=True, slots=True)
class ChoicesAsked:
    """What decode needs of a request: its choices, and what the context's windows show."""

    choices: tuple[str, ...]
    shown: Shown | None = None

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities of the choices. Shape: `[choices x windows]` to `[choices]`."""
        if self.shown is None:
            return softmax(logits)
        return self.shown.pool(softmax(logits.reshape(len(self.choices), -1).T))


@dataclass(frozen=True)
class MultipleChoiceHead:
    """The choices of a request, scored against its context."""

    kinds: tuple[Kind, ...] = (Kind.MULTIPLE_CHOICE,)
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
        """A row per choice, each the pair of context and choice, or one per window of the context.

        See `HeadKind.encode`.
        """
        fields = read_fields(inputs, ("context", "choices"))
        context = read_text(fields["context"], "inputs.context")
        choices = read_list(fields["choices"], "inputs.choices")
        known = read_parameters(parameters, _PARAMETERS)
        if is_windowed(limits):
            windows, shown = fit_pair_windows(tokenizer, context, choices, limits, "inputs.choices")
            rows = tuple(tokenizer.row(tokens) for tokens in windows)
            return Encoded(rows, ChoicesAsked(choices, shown), known)
        most = row_limit(tokenizer, limits)
        found = tokenizer.pairs(context, choices, most)
        for number, (_, total) in enumerate(found):
            if total > most:
                refuse_unless_truncating(limits, total, most, f"inputs.choices[{number}]")
        rows = tuple(tokenizer.row(tokens) for tokens, _ in found)
        is_cut = any(total > most for _, total in found)
        return Encoded(rows, ChoicesAsked(choices), known, is_cut)

    def forward(
        self, spec: HeadSpec, weights: Mapping[str, Tensor], states: HeadStates, raw: Sequence[bool]
    ) -> list[Arrays]:
        """`logits [1]` of each row."""
        settings = cast(StackSettings, spec.settings)
        return self.forward_joint(Stacks(settings, [weights], [len(raw)]), states)

    def forward_joint(self, stacks: Stacks, states: HeadStates) -> list[Arrays]:
        """As `forward`, of several tasks' rows at once."""
        found = row_logits(stacks, states)
        return [{"logits": logits} for logits in found]

    def decode(
        self, spec: HeadSpec, encoded: Encoded, outcomes: Sequence[Arrays]
    ) -> list[ChoiceScore]:
        """The choices with probabilities over this request's choices, best first.

        In windows each has its own, which are pooled.
        """
        asked: ChoicesAsked = encoded.context
        scores = asked.scores(_logits(outcomes)).tolist()
        found = [
            ChoiceScore(choice, score, index)
            for index, (choice, score) in enumerate(zip(asked.choices, scores, strict=True))
        ]
        found.sort(key=lambda item: item.score, reverse=True)
        return found[: encoded.parameters.get("top_k")]

    def raw(self, spec: HeadSpec, encoded: Encoded, outcomes: Sequence[Arrays]) -> dict[str, Any]:
        """`logits [choices]`."""
        return {"logits": _logits(outcomes).tolist()}


def _logits(outcomes: Sequence[Arrays]) -> np.ndarray:
    return np.concatenate([outcome["logits"] for outcome in outcomes])
