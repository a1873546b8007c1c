"""Texts by how well they answer a query: the `text_ranking` head, over a classifier of pairs.

A head with one logit was trained for it; of others the label that says yes is asked for.

Source: sentence-transformers 5 `CrossEncoder.predict` and `rank`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, cast

import numpy as np

from adapter_runtime.backbone.tokenizer import Tokenizer, Tokens
from adapter_runtime.heads.answers import RankedText, RankScore
from adapter_runtime.heads.entailment import EntailmentHead, EntailmentSettings
from adapter_runtime.heads.inputs import (
    read_fields,
    read_list,
    read_parameters,
    read_text,
    refuse_unless_truncating,
    row_limit,
    whole_number,
    window_check,
    yes_or_no,
)
from adapter_runtime.heads.windows import Shown, is_windowed, overlap
from adapter_runtime.types import Aggregation, Arrays, Encoded, HeadSpec, Kind, Limits, Overflow

_PARAMETERS = {"raw_scores": yes_or_no, "return_text": yes_or_no, "top_k": whole_number(1)}


@dataclass(frozen=True, slots=True)
class TextsAsked:
    """What decode needs of a request: its texts, and what the windows of each show."""

    texts: tuple[str, ...]
    shown: tuple[Shown, ...] | None = None

    def pool(self, odds: np.ndarray) -> np.ndarray:
        """Log-odds of each text. Shape: `[rows]` to `[texts]`."""
        if self.shown is None:
            return odds
        ends = list(accumulate(len(each.sizes) for each in self.shown))
        parts = np.split(odds, ends[:-1])
        pooled = [_pooled(each, part) for each, part in zip(self.shown, parts, strict=True)]
        return np.array(pooled, odds.dtype)


@dataclass(frozen=True)
class RankingHead(EntailmentHead):
    """The texts of a request by their scores against its query."""

    kinds: tuple[Kind, ...] = (Kind.TEXT_RANKING,)
    overflows: tuple[Overflow, ...] = (Overflow.TRUNCATE, Overflow.REJECT, Overflow.WINDOW)
    aggregations: tuple[Aggregation, ...] = (Aggregation.MAX, Aggregation.MEAN, Aggregation.FIRST)

    def encode(
        self,
        spec: HeadSpec,
        inputs: Any,
        parameters: Mapping[str, Any],
        tokenizer: Tokenizer,
        limits: Limits,
    ) -> Encoded:
        """A row per text, the pair of query and text, or one per window of it.

        See `HeadKind.encode`.
        """
        fields = read_fields(inputs, ("query", "texts"))
        query = read_text(fields["query"], "inputs.query")
        texts = read_list(fields["texts"], "inputs.texts")
        known = read_parameters(parameters, _PARAMETERS)
        if is_windowed(limits):
            return _windows(query, texts, known, tokenizer, limits)
        most = row_limit(tokenizer, limits)
        found = tokenizer.pairs(query, texts, most)
        for number, (_, total) in enumerate(found):
            if total > most:
                refuse_unless_truncating(limits, total, most, f"inputs.texts[{number}]")
        rows = tuple(tokenizer.row(tokens) for tokens, _ in found)
        is_cut = any(total > most for _, total in found)
        return Encoded(rows, TextsAsked(texts), known, is_cut)

    def decode(
        self, spec: HeadSpec, encoded: Encoded, outcomes: Sequence[Arrays]
    ) -> list[RankScore] | list[RankedText]:
        """The texts' places in the request with their scores, best first.

        A score is a probability, or its log-odds where raw ones are asked for.
        """
        asked: TextsAsked = encoded.context
        settings = cast(EntailmentSettings, spec.settings)
        logits = np.stack([outcome["logits"] for outcome in outcomes])
        scores = asked.pool(_log_odds(settings, logits))
        if not encoded.parameters.get("raw_scores", False):
            scores = np.exp(-np.logaddexp(np.float32(0), -scores))
        found = [RankScore(index, score) for index, score in enumerate(scores.tolist())]
        found.sort(key=lambda item: item.score, reverse=True)
        found = found[: encoded.parameters.get("top_k")]
        if not encoded.parameters.get("return_text", False):
            return found
        return [RankedText(one.index, one.score, asked.texts[one.index]) for one in found]

    def raw(self, spec: HeadSpec, encoded: Encoded, outcomes: Sequence[Arrays]) -> dict[str, Any]:
        """`logits [texts][labels]`."""
        return {"logits": [outcome["logits"].tolist() for outcome in outcomes]}


def _windows(
    query: str,
    texts: tuple[str, ...],
    known: dict[str, Any],
    tokenizer: Tokenizer,
    limits: Limits,
) -> Encoded:
    aggregation = limits.aggregation or Aggregation.MAX
    rows: list[Tokens] = []
    shown, is_cut, most = [], False, row_limit(tokenizer, limits)
    for number, text in enumerate(texts):
        stride = overlap(limits, "inputs.query")
        is_first = aggregation is Aggregation.FIRST
        check = None if is_first else window_check(f"inputs.texts[{number}]", None, len(rows))
        found = tokenizer.windows(query, text, most, stride, check, with_offsets=False)
        is_cut = is_cut or (is_first and len(found) > 1)
        found = found[:1] if is_first else found
        rows += found
        shown.append(Shown(tuple(tokens.shown for tokens in found), aggregation))
    encoded = tuple(tokenizer.row(tokens) for tokens in rows)
    return Encoded(encoded, TextsAsked(texts, tuple(shown)), known, is_cut)


def _pooled(shown: Shown, odds: np.ndarray) -> float:
    """The log-odds of the windows' pooled probability, which has too few digits near 1."""
    if len(odds) == 1 or shown.aggregation is not Aggregation.MEAN:
        return float(shown.pool(odds))
    weights = np.log(shown.sizes)
    yes, no = (np.logaddexp.reduce(weights - np.logaddexp(0, side)) for side in (-odds, odds))
    return float(yes - no)


def _log_odds(settings: EntailmentSettings, logits: np.ndarray) -> np.ndarray:
    """How surely the label says yes: sigmoids of this are the label's probabilities.

    Shape: `[rows, labels]` to `[rows]`.
    """
    yes: np.ndarray = logits[:, settings.yes]
    if settings.is_alone:
        return yes
    others = np.delete(logits, settings.yes, axis=1)
    highest = others.max(axis=1)
    total = np.exp(others - highest[:, None]).sum(axis=1)
    found: np.ndarray = yes - highest - np.log(total)
    return found
