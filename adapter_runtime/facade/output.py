"""Padded tensors in, padded tensors out: the shapes that users of `adapters` know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from adapter_runtime.types import Arrays, Row


@dataclass(frozen=True)
class ForwardOutput:
    """What one forward computed; padded places hold zeros, what the head has not is None.

    Args:
        logits: Shape: `[rows, labels]`, or `[rows, tokens, labels]` for tagging.
        start_logits, end_logits: of question answering. Shape: `[rows, tokens]`.
        last_hidden_state: without a head. Shape: `[rows, tokens, width]`.
    """

    logits: Tensor | None = None
    start_logits: Tensor | None = None
    end_logits: Tensor | None = None
    last_hidden_state: Tensor | None = None


def read_rows(ids: Tensor, mask: Tensor, types: Tensor | None) -> list[Row]:
    """Each row's real tokens. Shape: `[rows, tokens]` each; the mask is 1 for real tokens."""
    rows = []
    for number, keep in enumerate(mask):
        kinds = None if types is None else tuple(types[number][keep].tolist())
        rows.append(Row(tuple(ids[number][keep].tolist()), kinds if kinds and any(kinds) else None))
    return rows


def padded_output(outcomes: Sequence[Arrays], mask: Tensor, shape: torch.Size) -> ForwardOutput:
    """The rows' arrays as padded tensors.

    Args:
        outcomes: one per row, computed with `raw`.
        mask: real tokens. Shape: `[rows, tokens]`.
        shape: of the inputs but for their tokens; `[rows, choices]` for multiple choice.
    """
    return ForwardOutput(
        logits=_logits(outcomes, mask, shape),
        start_logits=_per_token(outcomes, "start", mask),
        end_logits=_per_token(outcomes, "end", mask),
        last_hidden_state=_per_token(outcomes, "hidden", mask),
    )


def _logits(outcomes: Sequence[Arrays], mask: Tensor, shape: torch.Size) -> Tensor | None:
    if "logits" in outcomes[0] and outcomes[0]["logits"].ndim == 2:
        return _per_token(outcomes, "logits", mask)
    if "logits" not in outcomes[0]:
        return None
    logits = torch.stack([torch.as_tensor(outcome["logits"]) for outcome in outcomes])
    return logits.reshape(shape) if len(shape) == 2 else logits


def _per_token(outcomes: Sequence[Arrays], key: str, mask: Tensor) -> Tensor | None:
    if key not in outcomes[0]:
        return None
    values = [torch.as_tensor(outcome[key]) for outcome in outcomes]
    padded = torch.zeros(*mask.shape, *values[0].shape[1:])
    for row, value in enumerate(values):
        padded[row, mask[row]] = value
    return padded
