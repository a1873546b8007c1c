"""Texts as vectors, and how alike texts are: the `embedding` head, which has no weights.

The vector of a long text is the mean of its windows' vectors, each counted by the tokens that it
shows, before anything is cut off or normalised.

Source: sentence-transformers `Pooling` (cls, mean over all tokens, last token) and `Normalize`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from adapter_runtime.backbone.tokenizer import Tokenizer
from adapter_runtime.heads.base import HeadStates
from adapter_runtime.heads.inputs import (
    fit_row,
    one_of,
    read_fields,
    read_list,
    read_parameters,
    read_text,
    read_texts,
    whole_number,
    yes_or_no,
)
from adapter_runtime.heads.layers import as_array
from adapter_runtime.heads.windows import Shown, fit_windows, is_windowed
from adapter_runtime.types import (
    Aggregation,
    Arrays,
    Encoded,
    HeadSpec,
    Kind,
    Limits,
    Overflow,
    Row,
)

POOLINGS = ("cls", "mean", "last")


@dataclass(frozen=True, slots=True)
class EmbeddingSettings:
    """How token states become one vector.

    Args:
        pooling: `cls` takes the first token, `mean` the average over all tokens, `last` the
            last token.
        normalize: vectors are scaled to length 1.
    """

    pooling: Literal["cls", "mean", "last"] = "mean"
    normalize: bool = False


_PARAMETERS = {
    "normalize": yes_or_no,
    "truncate": yes_or_no,
    "truncation_direction": one_of("left", "right"),
    "dimensions": whole_number(1),
    "encoding_format": one_of("float"),
}


@dataclass(frozen=True, slots=True)
class Embedded:
    """What decode needs of a request.

    Args:
        is_comparison: the first text is compared with the others.
        shown: of each text in turn, what its windows show; None where each text is one row.
    """

    is_comparison: bool
    shown: tuple[Shown, ...] | None = None

    def pool(self, vectors: np.ndarray) -> np.ndarray:
        """A vector for each text. Shape: `[rows, width]` to `[texts, width]`."""
        if self.shown is None or len(self.shown) == len(vectors):
            return vectors
        ends = list(accumulate(len(each.sizes) for each in self.shown))
        parts = np.split(vectors, ends[:-1])
        return np.stack([each.pool(part) for each, part in zip(self.shown, parts, strict=True)])


@dataclass(frozen=True)
class EmbeddingHead:
    """Feature extraction, and sentence similarity on top of it, told apart by the input's shape."""

    kinds: tuple[Kind, ...] = (Kind.FEATURE_EXTRACTION, Kind.SENTENCE_SIMILARITY)
    overflows: tuple[Overflow, ...] = (Overflow.TRUNCATE, Overflow.REJECT, Overflow.WINDOW)
    aggregations: tuple[Aggregation, ...] = (Aggregation.MEAN,)

    def encode(
        self,
        spec: HeadSpec,
        inputs: Any,
        parameters: Mapping[str, Any],
        tokenizer: Tokenizer,
        limits: Limits,
    ) -> Encoded:
        """One row per text, or one per window of each; see `HeadKind.encode`."""
        known = read_parameters(parameters, _PARAMETERS)
        limits = _limits(limits, known.get("truncate"))
        is_comparison = isinstance(inputs, Mapping) and "source_sentence" in inputs
        texts = _sentences(inputs) if is_comparison else [("inputs", *read_texts(inputs))]
        if is_windowed(limits):
            return _windows(texts, Embedded(is_comparison), known, tokenizer, limits)
        side = known.get("truncation_direction")
        fitted = [
            fit_row(tokenizer, text, pair, limits, field=field, side=side)
            for field, text, pair in texts
        ]
        return Encoded(
            tuple(tokenizer.row(tokens) for tokens, _ in fitted),
            context=Embedded(is_comparison),
            parameters=known,
            truncated=any(is_cut for _, is_cut in fitted),
        )

    def forward(
        self, spec: HeadSpec, weights: Mapping[str, Tensor], states: HeadStates, raw: Sequence[bool]
    ) -> list[Arrays]:
        """`vector [width]` of each row, and `hidden [tokens, width]` where raw is asked for."""
        pooling = cast(EmbeddingSettings, spec.settings).pooling
        vectors = as_array(_POOLS[pooling](states))
        found: list[dict[str, np.ndarray]] = [{"vector": vector} for vector in vectors]
        if any(raw):
            for arrays, is_raw, hidden in zip(found, raw, states.rows(), strict=True):
                if is_raw:
                    arrays["hidden"] = as_array(hidden)
        return cast(list[Arrays], found)

    def decode(self, spec: HeadSpec, encoded: Encoded, outcomes: Sequence[Arrays]) -> list[float]:
        """The vector, or the cosine of the source sentence with each other sentence."""
        settings = cast(EmbeddingSettings, spec.settings)
        embedded: Embedded = encoded.context
        vectors = embedded.pool(np.stack([outcome["vector"] for outcome in outcomes]))
        vectors = vectors[:, : encoded.parameters.get("dimensions")]
        if embedded.is_comparison:
            units = _normalized(vectors)
            return cast(list[float], (units[1:] @ units[0]).tolist())
        if encoded.parameters.get("normalize", settings.normalize):
            vectors = _normalized(vectors)
        return cast(list[float], vectors[0].tolist())

    def raw(self, spec: HeadSpec, encoded: Encoded, outcomes: Sequence[Arrays]) -> dict[str, Any]:
        """`hidden [tokens, width]`, or one such list per sentence."""
        hidden = [outcome["hidden"].tolist() for outcome in outcomes]
        return {"hidden": hidden if len(hidden) > 1 else hidden[0]}


def _windows(
    texts: Sequence[tuple[str, str, str | None]],
    embedded: Embedded,
    known: Mapping[str, Any],
    tokenizer: Tokenizer,
    limits: Limits,
) -> Encoded:
    rows: list[Row] = []
    shown = []
    for field, text, pair in texts:
        windows, sizes = fit_windows(tokenizer, text, pair, limits, field=field, taken=len(rows))
        rows += [tokenizer.row(tokens) for tokens in windows]
        shown.append(sizes)
    return Encoded(tuple(rows), replace(embedded, shown=tuple(shown)), known)


def _means(states: HeadStates) -> Tensor:
    # Virtual tokens count, as they did when sentence-transformers trained them.
    return torch.stack([row.float().mean(0) for row in states.whole_rows()])


def _last_tokens(states: HeadStates) -> Tensor:
    return torch.stack([row[-1] for row in states.whole_rows()])


_POOLS: Mapping[str, Callable[[HeadStates], Tensor]] = {
    "cls": HeadStates.first_tokens,
    "mean": _means,
    "last": _last_tokens,
}


def _normalized(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    result: np.ndarray = vectors / np.maximum(lengths, 1e-12)
    return result


def _limits(limits: Limits, truncate: bool | None) -> Limits:
    if truncate is None or (is_windowed(limits) and not truncate):
        return limits  # windows cut nothing
    return replace(limits, overflow=Overflow.TRUNCATE if truncate else Overflow.REJECT)


def _sentences(inputs: Mapping[str, Any]) -> list[tuple[str, str, None]]:
    fields = read_fields(inputs, ("source_sentence", "sentences"))
    source = read_text(fields["source_sentence"], "inputs.source_sentence")
    others = read_list(fields["sentences"], "inputs.sentences")
    named = [(f"inputs.sentences[{number}]", text, None) for number, text in enumerate(others)]
    return [("inputs.source_sentence", source, None), *named]
