"""One label per text, or several: `classification` and `multilabel_classification` heads.

Source: `adapters` 1.3.0 `ClassificationHead`, `MultiLabelClassificationHead`; answers as
transformers 4.57 `TextClassificationPipeline`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from torch import Tensor

from adapter_runtime.backbone.tokenizer import Tokenizer
from adapter_runtime.heads.answers import LabelScore
from adapter_runtime.heads.base import HeadStates
from adapter_runtime.heads.inputs import fit_row, one_of, read_parameters, read_texts, whole_number
from adapter_runtime.heads.layers import Stacks, StackSettings, row_logits, softmax
from adapter_runtime.heads.windows import Shown, fit_windows, is_windowed
from adapter_runtime.types import Aggregation, Arrays, Encoded, HeadSpec, Kind, Limits, Overflow


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Each logit as a probability of its own."""
    # A logit far below zero overflows the exponential, and 1 / infinity is the right answer.
    with np.errstate(over="ignore"):
        result: np.ndarray = 1.0 / (1.0 + np.exp(-logits))
    return result


FUNCTIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "softmax": softmax,
    "sigmoid": sigmoid,
    "none": lambda logits: logits,
}

_PARAMETERS = {"top_k": whole_number(1), "function_to_apply": one_of(*FUNCTIONS)}


@dataclass(frozen=True)
class ClassificationHead:
    """Labels of a text or a text pair.

    Args:
        is_multilabel: labels are independent: sigmoid by default.
    """

    is_multilabel: bool = False
    kinds: tuple[Kind, ...] = (Kind.TEXT_CLASSIFICATION,)
    overflows: tuple[Overflow, ...] = (Overflow.TRUNCATE, Overflow.REJECT, Overflow.WINDOW)
    aggregations: tuple[Aggregation, ...] = (Aggregation.MEAN, Aggregation.MAX, Aggregation.FIRST)

    def encode(
        self,
        spec: HeadSpec,
        inputs: Any,
        parameters: Mapping[str, Any],
        tokenizer: Tokenizer,
        limits: Limits,
    ) -> Encoded:
        """One row for a text or a pair, or one per window; see `HeadKind.encode`."""
        text, pair = read_texts(inputs)
        known = read_parameters(parameters, _PARAMETERS)
        if is_windowed(limits):
            windows, shown = fit_windows(tokenizer, text, pair, limits)
            is_cut = shown.aggregation is Aggregation.FIRST and len(windows) > 1
            rows = tuple(tokenizer.row(tokens) for tokens in windows[: 1 if is_cut else None])
            return Encoded(rows, shown, known, is_cut)
        tokens, is_cut = fit_row(tokenizer, text, pair, limits)
        return Encoded((tokenizer.row(tokens),), parameters=known, truncated=is_cut)

    def forward(
        self, spec: HeadSpec, weights: Mapping[str, Tensor], states: HeadStates, raw: Sequence[bool]
    ) -> list[Arrays]:
        """`logits [labels]` of each row."""
        settings = cast(StackSettings, spec.settings)
        return self.forward_joint(Stacks(settings, [weights], [len(raw)]), states)

    def forward_joint(self, stacks: Stacks, states: HeadStates) -> list[Arrays]:
        """As `forward`, of several tasks' rows at once."""
        found = row_logits(stacks, states)
        return [{"logits": logits} for logits in found]

    def decode(
        self, spec: HeadSpec, encoded: Encoded, outcomes: Sequence[Arrays]
    ) -> list[LabelScore]:
        """All labels, or the `top_k` best, best first; windows' scores are pooled."""
        name = encoded.parameters.get("function_to_apply") or self._function(spec)
        pooled = FUNCTIONS[name](np.stack([outcome["logits"] for outcome in outcomes]))
        shown: Shown | None = encoded.context
        scores = (pooled[0] if shown is None else shown.pool(pooled)).tolist()
        found = [LabelScore(label, score) for label, score in zip(spec.labels, scores, strict=True)]
        found.sort(key=lambda item: item.score, reverse=True)
        return found[: encoded.parameters.get("top_k")]

    def raw(self, spec: HeadSpec, encoded: Encoded, outcomes: Sequence[Arrays]) -> dict[str, Any]:
        """`logits [labels]`."""
        return {"logits": outcomes[0]["logits"].tolist()}

    def _function(self, spec: HeadSpec) -> str:
        chosen = cast(StackSettings, spec.settings).function
        if chosen is not None:
            return chosen
        return "sigmoid" if self.is_multilabel or len(spec.labels) == 1 else "softmax"
