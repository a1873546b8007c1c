"""Words for the masked places of a text: the `masked_lm` head.

Source: `adapters` 1.3.0 `BertStyleMaskedLMHead`; answers as transformers 5 `FillMaskPipeline`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, NamedTuple

import numpy as np

from adapter_runtime.backbone.tokenizer import Tokenizer, Tokens
from adapter_runtime.errors import InvalidInput
from adapter_runtime.heads.answers import MaskFill
from adapter_runtime.heads.inputs import (
    fit_row,
    read_parameters,
    read_text,
    row_limit,
    whole_number,
    window_check,
    words,
)
from adapter_runtime.heads.language import LanguageHead
from adapter_runtime.heads.layers import softmax
from adapter_runtime.heads.windows import is_windowed, overlap
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

_MAX_FILLS = 10_000


def _targets(value: Any, field: str) -> tuple[str, ...]:
    found = (value,) if isinstance(value, str) else words(value, field)
    if not found:
        raise InvalidInput("at least one word is expected.", field)
    return found


_PARAMETERS = {"top_k": whole_number(1, _MAX_FILLS), "targets": _targets}


class Place(NamedTuple):
    """A masked token: the row that fills it, where it is in that row, and its turn there."""

    row: int
    token: int
    turn: int


@dataclass(frozen=True)
class MaskedText:
    """What decode needs of a request.

    Args:
        rows: each row's tokens.
        places: the masks in the order of the text.
        targets: the only token ids to choose from; None allows the whole vocabulary.
        tokenizer: turns ids into text.
    """

    rows: tuple[tuple[int, ...], ...]
    places: tuple[Place, ...]
    targets: tuple[int, ...] | None
    tokenizer: Tokenizer


@dataclass(frozen=True)
class FillMaskHead(LanguageHead):
    """The likeliest tokens at each mask of a text."""

    kinds: tuple[Kind, ...] = (Kind.FILL_MASK,)
    overflows: tuple[Overflow, ...] = (Overflow.TRUNCATE, Overflow.REJECT, Overflow.WINDOW)
    aggregations: tuple[Aggregation, ...] = (Aggregation.CONTEXT,)

    def encode(
        self,
        spec: HeadSpec,
        inputs: Any,
        parameters: Mapping[str, Any],
        tokenizer: Tokenizer,
        limits: Limits,
    ) -> Encoded:
        """One row that marks its masked tokens, or the windows that show most around each mask.

        See `HeadKind.encode`.
        """
        text = read_text(inputs, "inputs")
        known = read_parameters(parameters, _PARAMETERS)
        is_cut = False
        if is_windowed(limits):
            windows = _windows(tokenizer, text, limits)
        else:
            tokens, is_cut = fit_row(tokenizer, text, None, limits)
            windows = [tokens]
        rows, places = _mark(tokenizer, windows)
        targets = _target_ids(known["targets"], tokenizer) if "targets" in known else None
        ids = tuple(row.input_ids for row in rows)
        return Encoded(rows, MaskedText(ids, places, targets, tokenizer), known, is_cut)

    def decode(
        self, spec: HeadSpec, encoded: Encoded, outcomes: Sequence[Arrays]
    ) -> list[MaskFill] | list[list[MaskFill]]:
        """The best tokens for the mask, or one such list per mask.

        Raises:
            InvalidInput: the text has no mask, and its raw logits were not asked for either.
        """
        masked: MaskedText = encoded.context
        if not masked.places and not len(outcomes[0]["logits"]):
            raise _no_mask(masked.tokenizer, encoded.truncated)
        top_k = encoded.parameters.get("top_k", 5)
        found = [
            _fills(masked, place, outcomes[place.row]["logits"], top_k) for place in masked.places
        ]
        return found[0] if len(found) == 1 else found


def _windows(tokenizer: Tokenizer, text: str, limits: Limits) -> list[Tokens]:
    """By default neighbours share half, so that each mask has context on both sides."""
    most = row_limit(tokenizer, limits)
    stride = overlap(replace(limits, stride=most) if limits.stride is None else limits, "inputs")
    check = window_check("inputs", None)
    return tokenizer.windows(text, None, most, stride, check, with_offsets=False)


def _mark(
    tokenizer: Tokenizer, windows: Sequence[Tokens]
) -> tuple[tuple[Row, ...], tuple[Place, ...]]:
    """The rows that fill a mask, each with its marks, and all masks in the order of the text."""
    chosen = _chosen(tokenizer.mask_id, windows)
    marks: dict[int, list[int]] = {}
    places = []
    for number, token in chosen:
        own = marks.setdefault(number, [])
        places.append(Place(list(marks).index(number), token, len(own)))
        own.append(token)
    rows = tuple(
        tokenizer.row(windows[number])._replace(word_starts=tuple(tokens))
        for number, tokens in (marks or {0: []}).items()
    )
    return rows, tuple(places)


def _chosen(mask: int | None, windows: Sequence[Tokens]) -> list[tuple[int, int]]:
    """For each mask of the text, in order, the window that shows most around it, and its token."""
    end = max(tokens.first + tokens.shown for tokens in windows)
    found: dict[int, tuple[float, int, int]] = {}
    for number, tokens in enumerate(windows):
        lead = tokens.texts.index(0) if len(windows) > 1 else 0
        for token, id in enumerate(tokens.ids):
            if id == mask:
                place = tokens.first + token - lead
                margin = _margin(tokens, token - lead, end)
                found[place] = max(found.get(place, (-1.0, 0, 0)), (margin, -number, token))
    return [(-number, token) for _, (_, number, token) in sorted(found.items())]


def _margin(tokens: Tokens, token: int, end: int) -> float:
    """Tokens between a token and the nearer end of its window, where that end cuts the text."""
    before = token if tokens.first else inf
    after = tokens.shown - 1 - token if tokens.first + tokens.shown < end else inf
    return min(before, after)


def _no_mask(tokenizer: Tokenizer, is_cut: bool) -> InvalidInput:
    if tokenizer.mask_id is None:
        return InvalidInput("this backbone's tokenizer has no mask, so nothing can be filled in.")
    mask = tokenizer.token(tokenizer.mask_id)
    if is_cut:
        return InvalidInput(
            f"what is left of the text, which was cut, holds no {mask}; send a shorter one, or let "
            "the task read long texts in windows (limits.overflow: window)."
        )
    return InvalidInput(f"the text holds no mask; write {mask} where a word is wanted.")


def _target_ids(targets: Sequence[str], tokenizer: Tokenizer) -> tuple[int, ...]:
    """Each target's token, or its first where it has several; those without any are left out."""
    found = [tokenizer.first_id(target) for target in targets]
    ids = tuple(dict.fromkeys(token for token in found if token is not None))
    if not ids:
        raise InvalidInput("none of them is in the vocabulary.", "parameters.targets")
    return ids


def _fills(masked: MaskedText, place: Place, logits: np.ndarray, top_k: int) -> list[MaskFill]:
    """The best tokens for a mask. Logits: of its row's masks, or of all its tokens."""
    is_whole = len(logits) == len(masked.rows[place.row])
    scores = softmax(logits[place.token if is_whole else place.turn])
    choices = np.arange(len(scores)) if masked.targets is None else np.array(masked.targets)
    best = np.argsort(-scores[choices], kind="stable")[:top_k]
    return [_fill(masked, place, int(choices[one]), float(scores[choices[one]])) for one in best]


def _fill(masked: MaskedText, place: Place, token: int, score: float) -> MaskFill:
    tokenizer, row = masked.tokenizer, masked.rows[place.row]
    ids = [*row[: place.token], token, *row[place.token + 1 :]]
    shown = [one for one in ids if one != tokenizer.pad_id]
    # With several masks the others stay visible, and so do the special tokens around the text.
    sequence = tokenizer.text(shown, skip_specials=row.count(row[place.token]) == 1)
    return MaskFill(score, token, tokenizer.text([token]), sequence)
