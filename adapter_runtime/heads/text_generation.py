"""The next token of a text: the `causal_lm` and `seq2seq_lm` heads.

One token is what a single forward gives; longer texts need a loop with a cache, which this server
does not have. Of a long text with windows only the last is read: what comes next is after it.

Source: `adapters` 1.3.0 `CausalLMHead`, `Seq2SeqLMHead`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapter_runtime.backbone.tokenizer import Tokenizer
from adapter_runtime.errors import InvalidInput
from adapter_runtime.heads.answers import GeneratedText
from adapter_runtime.heads.inputs import (
    fit_row,
    read_parameters,
    read_text,
    whole_number,
    yes_or_no,
)
from adapter_runtime.heads.language import LanguageHead
from adapter_runtime.heads.windows import is_windowed
from adapter_runtime.types import Aggregation, Arrays, Encoded, HeadSpec, Kind, Limits, Overflow


def _one(value: Any, field: str) -> int:
    if whole_number(1)(value, field) > 1:
        raise InvalidInput("one new token at a time is all that can be generated; send 1.", field)
    return 1


def _off(value: Any, field: str) -> bool:
    if yes_or_no(value, field):
        raise InvalidInput("cannot be switched on: the likeliest token is the answer.", field)
    return False


_PARAMETERS = {
    "max_new_tokens": _one,
    "return_full_text": yes_or_no,
    "do_sample": _off,
    "details": _off,
    "decoder_input_details": _off,
}


@dataclass(frozen=True)
class GenerationHead(LanguageHead):
    """The likeliest next token.

    Args:
        is_seq2seq: an encoder-decoder, whose first answer token stands at the first place.
        overflows, aggregations: as every kind's.
    """

    is_seq2seq: bool = False
    kinds: tuple[Kind, ...] = (Kind.TEXT_GENERATION,)
    overflows: tuple[Overflow, ...] = (Overflow.TRUNCATE, Overflow.REJECT, Overflow.WINDOW)
    aggregations: tuple[Aggregation, ...] = (Aggregation.LAST,)

    def encode(
        self,
        spec: HeadSpec,
        inputs: Any,
        parameters: Mapping[str, Any],
        tokenizer: Tokenizer,
        limits: Limits,
    ) -> Encoded:
        """One row that marks where the next token is read; see `HeadKind.encode`."""
        text = read_text(inputs, "inputs")
        known = read_parameters(parameters, _PARAMETERS)
        side = "left" if is_windowed(limits) else None
        tokens, is_cut = fit_row(tokenizer, text, None, limits, side=side)
        row = tokenizer.row(tokens)
        place = 0 if self.is_seq2seq else len(row.input_ids) - 1
        context = (text, tokenizer, place)
        return Encoded((row._replace(word_starts=(place,)),), context, known, is_cut)

    def decode(
        self, spec: HeadSpec, encoded: Encoded, outcomes: Sequence[Arrays]
    ) -> list[GeneratedText]:
        """The text's next token, behind the text itself where the full text is asked for."""
        text, tokenizer, place = encoded.context
        logits = outcomes[0]["logits"]
        found = tokenizer.text([int(logits[place if len(logits) > 1 else 0].argmax())])
        is_whole = encoded.parameters.get("return_full_text", False)
        return [GeneratedText(text + found if is_whole else found)]
