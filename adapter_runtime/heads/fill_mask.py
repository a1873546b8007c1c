"""Words for the masked places of a text: the `masked_lm` head.

Source: `adapters` 1.3.0 `BertStyleMaskedLMHead`; answers as transformers 5 `FillMaskPipeline`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adapter_runtime.backbone.tokenizer import Tokenizer
from adapter_runtime.errors import InvalidInput
from adapter_runtime.heads.answers import MaskFill
from adapter_runtime.heads.inputs import fit_row, read_parameters, read_text, whole_number, words
from adapter_runtime.heads.language import LanguageHead
from adapter_runtime.heads.layers import softmax
from adapter_runtime.types import Aggregation, Arrays, Encoded, HeadSpec, Kind, Limits, Overflow

_MAX_FILLS = 10_000


def _targets(value: Any, field: str) -> tuple[str, ...]:
    found = (value,) if isinstance(value, str) else words(value, field)
    if not found:
        raise InvalidInput("at least one word is expected.", field)
    return found


_PARAMETERS = {"top_k": whole_number(1, _MAX_FILLS), "targets": _targets}


@dataclass(frozen=True)
class MaskedText:
    """What decode needs of a request.

    Args:
        ids: the row's tokens.
        places: its masked tokens.
        targets: the only token ids to choose from; None allows the whole vocabulary.
        tokenizer: turns ids into text.
    """

    ids: tuple[int, ...]
    places: tuple[int, ...]
    targets: tuple[int, ...] | None
    tokenizer: Tokenizer


@dataclass(frozen=True)
class FillMaskHead(LanguageHead):
    """The likeliest tokens at each mask of a text."""

    kinds: tuple[Kind, ...] = (Kind.FILL_MASK,)
    overflows: tuple[Overflow, ...] = (Overflow.TRUNCATE, Overflow.REJECT)
    aggregations: tuple[Aggregation, ...] = ()

    def encode(
        self,
        spec: HeadSpec,
        inputs: Any,
        parameters: Mapping[str, Any],
        tokenizer: Tokenizer,
        limits: Limits,
    ) -> Encoded:
        """One row that marks its masked tokens; see `HeadKind.encode`."""
        text = read_text(inputs, "inputs")
        known = read_parameters(parameters, _PARAMETERS)
        tokens, is_cut = fit_row(tokenizer, text, None, limits)
        row = tokenizer.row(tokens)
        places = tuple(
            place for place, token in enumerate(row.input_ids) if token == tokenizer.mask_id
        )
        targets = _target_ids(known["targets"], tokenizer) if "targets" in known else None
        context = MaskedText(row.input_ids, places, targets, tokenizer)
        return Encoded((row._replace(word_starts=places),), context, known, is_cut)

    def decode(
        self, spec: HeadSpec, encoded: Encoded, outcomes: Sequence[Arrays]
    ) -> list[MaskFill] | list[list[MaskFill]]:
        """The best tokens for the mask, or one such list per mask.

        Raises:
            InvalidInput: the text has no mask, and its raw logits were not asked for either.
        """
        masked: MaskedText = encoded.context
        logits = outcomes[0]["logits"]
        if not masked.places and not len(logits):
            raise _no_mask(masked.tokenizer)
        if len(logits) != len(masked.places):
            logits = logits[list(masked.places)]
        top_k = encoded.parameters.get("top_k", 5)
        found = [
            _fills(masked, place, row, top_k)
            for place, row in zip(masked.places, logits, strict=True)
        ]
        return found[0] if len(found) == 1 else found


def _no_mask(tokenizer: Tokenizer) -> InvalidInput:
    if tokenizer.mask_id is None:
        return InvalidInput("this backbone's tokenizer has no mask, so nothing can be filled in.")
    mask = tokenizer.token(tokenizer.mask_id)
    return InvalidInput(f"the text holds no mask; write {mask} where a word is wanted.")


def _target_ids(targets: Sequence[str], tokenizer: Tokenizer) -> tuple[int, ...]:
    """Each target's token, or its first where it has several; those without any are left out."""
    found = [tokenizer.first_id(target) for target in targets]
    ids = tuple(dict.fromkeys(token for token in found if token is not None))
    if not ids:
        raise InvalidInput("none of them is in the vocabulary.", "parameters.targets")
    return ids


def _fills(masked: MaskedText, place: int, logits: np.ndarray, top_k: int) -> list[MaskFill]:
    scores = softmax(logits)
    choices = np.arange(len(scores)) if masked.targets is None else np.array(masked.targets)
    best = np.argsort(-scores[choices], kind="stable")[:top_k]
    return [_fill(masked, place, int(choices[one]), float(scores[choices[one]])) for one in best]


def _fill(masked: MaskedText, place: int, token: int, score: float) -> MaskFill:
    tokenizer = masked.tokenizer
    ids = [*masked.ids[:place], token, *masked.ids[place + 1 :]]
    shown = [one for one in ids if one != tokenizer.pad_id]
    # With several masks the others stay visible, and so do the special tokens around the text.
    sequence = tokenizer.text(shown, skip_specials=len(masked.places) == 1)
    return MaskFill(score, token, tokenizer.text([token]), sequence)
