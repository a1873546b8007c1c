"""Padded tensors in, padded tensors out: the shapes that users of `adapters` know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from adapter_runtime.errors import InvalidInput
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


def read_rows(
    input_ids: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None
) -> tuple[list[Row], Tensor]:
    """Each row's real tokens, and which they are.

    Args:
        input_ids: Shape: `[…, tokens]`.
        attention_mask: 1 for real tokens, which all are without one. Shape: that of the ids.
        token_type_ids: Shape: that of the ids.

    Raises:
        InvalidInput: there is no row, or the shapes differ.

    Shape: the mask `[rows, tokens]`.
    """
    _check_shapes(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
    ids = input_ids.flatten(0, -2)
    mask = torch.ones_like(ids) if attention_mask is None else attention_mask.flatten(0, -2)
    types = None if token_type_ids is None else token_type_ids.flatten(0, -2)
    rows = []
    for number, keep in enumerate(mask.bool()):
        kinds = None if types is None else tuple(types[number][keep].tolist())
        rows.append(Row(tuple(ids[number][keep].tolist()), kinds if kinds and any(kinds) else None))
    return rows, mask.bool()


def _check_shapes(input_ids: Tensor, **others: Tensor | None) -> None:
    if input_ids.dim() < 2 or not input_ids.numel():
        message = f"forward takes [rows, tokens], not {list(input_ids.shape)}; send at least one."
        raise InvalidInput(message, "input_ids")
    for name, tensor in others.items():
        if tensor is not None and tensor.shape != input_ids.shape:
            message = f"its shape is {list(tensor.shape)}, that of input_ids another one."
            raise InvalidInput(message, name)


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
