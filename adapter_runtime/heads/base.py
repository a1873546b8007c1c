"""What a head kind is: how inputs become rows, the forward, how logits become the answer.

Head kinds are stateless; a head's configuration is a `HeadSpec`, its weights come with each call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from adapter_runtime.backbone.placed import from_host
from adapter_runtime.backbone.tokenizer import Tokenizer
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


@dataclass(frozen=True)
class HeadStates:
    """The final hidden states of the rows that one head answers.

    Args:
        hidden: the whole stream. Shape: `[tokens, width]`.
        starts, lengths: each row's span in it, virtual tokens included and padding not.
        pool: the backbone's pooler over these rows, in order; raises BackboneError where the
            checkpoint has none. Shape: `[rows, width]`.
        inputs: the rows as they ran, virtual tokens included.
        invert: states of `tokens()` that are about to be projected onto the vocabulary, through
            the inverse of the adapters' invertible blocks. Shape: `[tokens, embedding]`.
        vocabulary: the backbone's word embeddings. Shape: `[vocabulary, embedding]`.
    """

    hidden: Tensor
    starts: Sequence[int]
    lengths: Sequence[int]
    pool: Callable[[], Tensor]
    inputs: Sequence[Row]
    invert: Callable[[Tensor], Tensor]
    vocabulary: Tensor

    def rows(self) -> list[Tensor]:
        """Each row's hidden states without virtual tokens. Shape: `[tokens, width]` each."""
        spans = zip(self.whole_rows(), self.inputs, strict=True)
        return [_text_states(states, row) for states, row in spans]

    def whole_rows(self) -> list[Tensor]:
        """Each row's hidden states with virtual tokens. Shape: `[length, width]` each."""
        return [
            self.hidden[start : start + length]
            for start, length in zip(self.starts, self.lengths, strict=True)
        ]

    def tokens(self) -> Tensor:
        """What `rows` gives, one after another. Shape: `[sum of tokens, width]`."""
        return torch.cat(self.rows())

    def first_tokens(self) -> Tensor:
        """Hidden state of each row's first token, virtual or not. Shape: `[rows, width]`."""
        return self.hidden[from_host(self.starts, self.hidden.device)]


def _text_states(states: Tensor, row: Row) -> Tensor:
    if row.virtual is None:
        return states
    start, count = row.virtual
    return torch.cat((states[:start], states[start + count :]))


class HeadKind(Protocol):
    """One head type's whole behaviour."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The task kinds that it can answer, default first."""
        ...

    @property
    def overflows(self) -> tuple[Overflow, ...]:
        """The length rules that it can keep, default first: what `Limits.overflow` None means."""
        ...

    @property
    def aggregations(self) -> tuple[Aggregation, ...]:
        """What it can make of windows, default first; empty where it makes none."""
        ...

    def encode(
        self,
        spec: HeadSpec,
        inputs: Any,
        parameters: Mapping[str, Any],
        tokenizer: Tokenizer,
        limits: Limits,
    ) -> Encoded:
        """One request's rows. Runs on worker threads.

        Raises:
            InvalidInput: inputs or parameters are wrong; names the field.
            TooLong: longer than the limits and the overflow rule is `reject`.
        """
        ...

    def forward(
        self, spec: HeadSpec, weights: Mapping[str, Tensor], states: HeadStates, raw: Sequence[bool]
    ) -> list[Arrays]:
        """What decode needs for each row; more where `raw` is set for the row."""
        ...

    def decode(self, spec: HeadSpec, encoded: Encoded, outcomes: Sequence[Arrays]) -> Any:
        """The typed answer (values of `answers.py`, lists of them, or vectors)."""
        ...

    def raw(self, spec: HeadSpec, encoded: Encoded, outcomes: Sequence[Arrays]) -> dict[str, Any]:
        """The `--raw` members: `logits` or `hidden`, unpadded nested lists or arrays."""
        ...
