"""Answers cut from a context: the `question_answering` head.

Source: `adapters` 1.3.0 `QuestionAnsweringHead`; answers as transformers 4.57
`QuestionAnsweringPipeline`, where `max_question_len` has no effect on fast tokenizers either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from adapter_runtime.backbone.tokenizer import Tokenizer
from adapter_runtime.errors import InvalidInput, TooLong
from adapter_runtime.heads.answers import AnswerSpan
from adapter_runtime.heads.base import HeadStates
from adapter_runtime.heads.inputs import (
    read_fields,
    read_parameters,
    read_text,
    refuse_unless_truncating,
    row_limit,
    whole_number,
    window_check,
    yes_or_no,
)
from adapter_runtime.heads.layers import Stacks, StackSettings, token_logits
from adapter_runtime.heads.spans import QuestionContext, best_answers
from adapter_runtime.types import Aggregation, Arrays, Encoded, HeadSpec, Kind, Limits, Overflow

_PARAMETERS = {
    "top_k": whole_number(1, 1000),
    "doc_stride": whole_number(0),
    "max_answer_len": whole_number(1),
    "max_seq_len": whole_number(1),
    "max_question_len": whole_number(1),
    "handle_impossible_answer": yes_or_no,
    "align_to_words": yes_or_no,
}
_WINDOW_TOKENS, _STRIDE_TOKENS = 384, 128


@dataclass(frozen=True)
class QuestionAnsweringHead:
    """Spans of a context that answer a question; long contexts are read in windows by default."""

    kinds: tuple[Kind, ...] = (Kind.QUESTION_ANSWERING,)
    overflows: tuple[Overflow, ...] = (Overflow.WINDOW, Overflow.TRUNCATE, Overflow.REJECT)
    aggregations: tuple[Aggregation, ...] = (Aggregation.BEST,)

    def encode(
        self,
        spec: HeadSpec,
        inputs: Any,
        parameters: Mapping[str, Any],
        tokenizer: Tokenizer,
        limits: Limits,
    ) -> Encoded:
        """A row for question and context, or one per window; see `HeadKind.encode`."""
        fields = read_fields(inputs, ("question", "context"))
        question = read_text(fields["question"], "inputs.question")
        context = read_text(fields["context"], "inputs.context")
        known = read_parameters(parameters, _PARAMETERS)
        size, stride = _window(tokenizer, question, context, known, limits)
        is_cut = False
        if _is_windowed(limits):
            named = "doc_stride" if {"doc_stride", "max_seq_len"} & set(known) else None
            check = window_check("inputs.context", named)
            windows = tuple(tokenizer.windows(question, context, size, stride, check))
        else:
            tokens, total = tokenizer.first_window(question, context, size)
            is_cut = total > size
            if is_cut:
                refuse_unless_truncating(limits, total, size, "inputs.context")
            windows = (tokens,)
        with_types = cast(StackSettings, spec.settings).reads_types
        rows = tuple(tokenizer.row(tokens, with_types=with_types) for tokens in windows)
        return Encoded(rows, QuestionContext(context, windows, tokenizer.cls_id), known, is_cut)

    def forward(
        self, spec: HeadSpec, weights: Mapping[str, Tensor], states: HeadStates, raw: Sequence[bool]
    ) -> list[Arrays]:
        """`start [tokens]` and `end [tokens]` of each row."""
        settings = cast(StackSettings, spec.settings)
        return self.forward_joint(Stacks(settings, [weights], [len(raw)]), states)

    def forward_joint(self, stacks: Stacks, states: HeadStates) -> list[Arrays]:
        """As `forward`, of several tasks' rows at once."""
        found = token_logits(stacks, states)
        return [{"start": logits[:, 0], "end": logits[:, 1]} for logits in found]

    def decode(
        self, spec: HeadSpec, encoded: Encoded, outcomes: Sequence[Arrays]
    ) -> AnswerSpan | list[AnswerSpan]:
        """The best answer, or a list of up to `top_k` when more than one is found."""
        answers = best_answers(encoded.context, outcomes, encoded.parameters)
        return answers[0] if len(answers) == 1 else answers

    def raw(self, spec: HeadSpec, encoded: Encoded, outcomes: Sequence[Arrays]) -> dict[str, Any]:
        """`start` and `end`, both `[tokens]`, of the one row."""
        first = outcomes[0]
        return {"logits": {"start": first["start"].tolist(), "end": first["end"].tolist()}}


def _is_windowed(limits: Limits) -> bool:
    return limits.overflow in (None, Overflow.WINDOW)


def _window(
    tokenizer: Tokenizer, question: str, context: str, known: Mapping[str, Any], limits: Limits
) -> tuple[int, int]:
    """Tokens of one window, and how many of them the next one shows again."""
    most = row_limit(tokenizer, limits)
    usual = min(most, _WINDOW_TOKENS) if _is_windowed(limits) else most
    size = known.get("max_seq_len", usual)
    if size > most:
        raise InvalidInput(f"at most {most} tokens fit this task.", "parameters.max_seq_len")
    usual = _STRIDE_TOKENS if limits.stride is None else limits.stride
    stride = known.get("doc_stride", min(size // 2, usual))
    if stride > size:
        raise InvalidInput(f"must not exceed max_seq_len ({size}).", "parameters.doc_stride")
    room = size - tokenizer.num_specials(True) - tokenizer.length(question)
    if room < 1:
        raise TooLong(
            f"the question leaves no room for a context in {size} tokens; ask a shorter one.",
            "inputs.question",
        )
    if stride >= room and "doc_stride" in known and tokenizer.length(context) > room:
        raise InvalidInput(
            f"must be below {room}, the tokens of context in one window.", "parameters.doc_stride"
        )
    return size, min(stride, room - 1)
