"""Which word governs which, and how: the `dependency_parsing` head.

A word's vector is the mean of its tokens' states, and the first token of the row is the root. The
library pads the words of a row with zero vectors up to the number of its tokens, and so do its
numbers. Each word takes its likeliest head by itself, so that the answer need not be a tree.

Source: `adapters` 1.3.0 `BiaffineParsingHead`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from adapter_runtime.backbone.tokenizer import Tokenizer
from adapter_runtime.errors import InvalidInput, RowFailed
from adapter_runtime.heads.answers import ParsedWord
from adapter_runtime.heads.base import HeadStates
from adapter_runtime.heads.inputs import (
    read_fields,
    read_list,
    read_parameters,
    read_text,
    refuse_unless_truncating,
    row_limit,
)
from adapter_runtime.heads.layers import as_array, softmax
from adapter_runtime.heads.sentences import split_sentences
from adapter_runtime.heads.windows import is_windowed
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

ARCS, RELATIONS = "arcs.weight", "rels.weight"


@dataclass(frozen=True, slots=True)
class ParsingSettings:
    """A parsing head without its weights.

    Args:
        num_labels: relations.
        pad_id: word starts of this number are padding to the library, wherever they stand.
    """

    num_labels: int
    pad_id: int | None = None


def parsing_shapes(settings: ParsingSettings, width: int) -> dict[str, tuple[int, ...]]:
    """The canonical tensors of a parsing head on states of a width."""
    return {
        ARCS: (1, width + 1, width),
        RELATIONS: (settings.num_labels, width + 1, width + 1),
    }


@dataclass(frozen=True)
class ParsingHead:
    """Heads and relations of the words of a sentence."""

    kinds: tuple[Kind, ...] = (Kind.DEPENDENCY_PARSING,)
    overflows: tuple[Overflow, ...] = (Overflow.TRUNCATE, Overflow.REJECT, Overflow.WINDOW)
    aggregations: tuple[Aggregation, ...] = (Aggregation.SENTENCES,)

    def encode(
        self,
        spec: HeadSpec,
        inputs: Any,
        parameters: Mapping[str, Any],
        tokenizer: Tokenizer,
        limits: Limits,
    ) -> Encoded:
        """One row with the starts of its words, or one for as many whole sentences as fit.

        A text is split at its blanks; see `HeadKind.encode`.
        """
        read_parameters(parameters, {})
        words = _read_words(inputs)
        most = row_limit(tokenizer, limits)
        parts = [words]
        if is_windowed(limits):
            room = most - tokenizer.num_specials(False)
            parts = split_sentences(words, tokenizer.word_lengths(words), room)
        rows, known, is_cut = [], [], False
        for part in parts:
            tokens, starts, total = tokenizer.encode_words(part, most)
            if total > most:
                refuse_unless_truncating(limits, total, most, "inputs")
                is_cut = True
            rows.append(tokenizer.row(tokens)._replace(word_starts=starts))
            known.append(part[: len(starts) - 1])
        return Encoded(tuple(rows), tuple(known), {}, is_cut)

    def forward(
        self, spec: HeadSpec, weights: Mapping[str, Tensor], states: HeadStates, raw: Sequence[bool]
    ) -> list[Arrays]:
        """`arcs [words, words + 1]` and `rels [words, words + 1, labels]` of each row.

        Where raw is asked for, words are padded to the number of tokens.
        """
        settings = cast(ParsingSettings, spec.settings)
        roots = states.first_tokens()
        return [
            _parse(settings, weights, _Sentence(root, hidden, row, is_raw))
            for root, hidden, row, is_raw in zip(
                roots, states.rows(), states.inputs, raw, strict=True
            )
        ]

    def decode(
        self, spec: HeadSpec, encoded: Encoded, outcomes: Sequence[Arrays]
    ) -> list[ParsedWord]:
        """Each word's likeliest head among the words of its row and the root, and its relation.

        Words are numbered through the whole input.
        """
        found: list[ParsedWord] = []
        for words, outcome in zip(encoded.context, outcomes, strict=True):
            found += _parsed(words, outcome, spec.labels, len(found))
        return found

    def raw(self, spec: HeadSpec, encoded: Encoded, outcomes: Sequence[Arrays]) -> dict[str, Any]:
        """`arcs [tokens][tokens + 1]` and `rels [tokens][tokens + 1][labels]`."""
        return {"logits": {name: outcomes[0][name].tolist() for name in ("arcs", "rels")}}


def _parsed(
    words: Sequence[str], outcome: Arrays, labels: Sequence[str], before: int
) -> list[ParsedWord]:
    """The words of one row, of which so many were before."""
    arcs, relations = outcome["arcs"], outcome["rels"]
    count = min(len(words), len(arcs))
    found = []
    for number, word in enumerate(words[:count]):
        heads = softmax(arcs[number, : count + 1])
        head = int(heads.argmax())
        scores = softmax(relations[number, head])
        score = float(heads[head] * scores.max())
        numbered = head + before if head else 0
        found.append(ParsedWord(word, numbered, labels[int(scores.argmax())], score))
    return found


def _read_words(inputs: Any) -> tuple[str, ...]:
    if isinstance(inputs, str):
        return tuple(read_text(inputs, "inputs").split())
    fields = read_fields(inputs, ("words",))
    words = read_list(fields["words"], "inputs.words", most=None)
    for number, word in enumerate(words):
        if word.split() != [word]:
            raise InvalidInput("a word holds no blanks; split it.", f"inputs.words[{number}]")
    return words


@dataclass(frozen=True)
class _Sentence:
    """One row's states: the root's, and `hidden [tokens, width]`."""

    root: Tensor
    hidden: Tensor
    row: Row
    is_padded: bool

    def words(self, pad_id: int | None) -> Tensor:
        """The vector of each word. Shape: `[words, width]`."""
        if self.row.word_starts is None:
            raise RowFailed("The row does not say where its words begin.")
        starts = [start for start in self.row.word_starts if start != pad_id]
        spans = []
        for first, after in pairwise(starts):
            if after <= 0:
                break
            spans.append(self.hidden[first:after].mean(0))
        words = torch.stack(spans) if spans else self.hidden[:0]
        missing = len(self.hidden) - len(words) if self.is_padded else 0
        return nn.functional.pad(words, (0, 0, 0, missing))


def _parse(
    settings: ParsingSettings, weights: Mapping[str, Tensor], sentence: _Sentence
) -> dict[str, np.ndarray]:
    words = sentence.words(settings.pad_id)
    heads = torch.cat([sentence.root.unsqueeze(0), words])
    x, y = _with_one(words), _with_one(heads)
    arcs = x @ weights[ARCS][0] @ heads.T
    # A product per label keeps what it needs small: labels times words, not words squared twice.
    relations = torch.einsum("xoj,yj->xyo", torch.einsum("xi,oij->xoj", x, weights[RELATIONS]), y)
    return {"arcs": as_array(arcs), "rels": as_array(relations)}


def _with_one(x: Tensor) -> Tensor:
    return nn.functional.pad(x, (0, 1), value=1.0)
