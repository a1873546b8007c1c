"""From input tensors to the items of a Call: each tensor is a field, each row an item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import orjson

from adapter_runtime import InvalidInput, Kind
from serving.protocols.oip_tensors import Tensor

JSON, TEXT = "json", "text"
_LISTS = ("choices", "sentences", "words", "candidate_labels", "texts")
"""Fields that are lists of texts: one more dimension."""
_FIELDS = (TEXT, "text_pair", "question", "context", "source_sentence", "query", *_LISTS)
_KNOWN = ", ".join((*_FIELDS, JSON))
REQUIRED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        Kind.TEXT_CLASSIFICATION: (TEXT,),
        Kind.TOKEN_CLASSIFICATION: (TEXT,),
        Kind.QUESTION_ANSWERING: ("question", "context"),
        Kind.MULTIPLE_CHOICE: ("context", "choices"),
        Kind.FEATURE_EXTRACTION: (TEXT,),
        Kind.SENTENCE_SIMILARITY: ("source_sentence", "sentences"),
        Kind.FILL_MASK: (TEXT,),
        Kind.TEXT_GENERATION: (TEXT,),
        Kind.DEPENDENCY_PARSING: (TEXT,),
        Kind.ZERO_SHOT_CLASSIFICATION: (TEXT, "candidate_labels"),
        Kind.TEXT_RANKING: ("query", "texts"),
    }
)
"""The input tensors that make a whole request of each kind."""
OPTIONAL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {Kind.TEXT_CLASSIFICATION: ("text_pair",)}
)
"""Those that may stand beside them."""


def num_dimensions(name: str) -> int:
    """Dimensions of an input tensor."""
    return 2 if name in _LISTS else 1


def has_unknown_name(tensors: Sequence[Tensor]) -> bool:
    """Whether a lone tensor has a name of the client's own, so that the kind says what it is."""
    return len(tensors) == 1 and tensors[0].name not in (*_FIELDS, JSON)


def items_of(tensors: Sequence[Tensor], kind: str | None = None) -> list[Any]:
    """One input per row.

    Args:
        tensors: of the request; not empty, names distinct.
        kind: the task's, where a lone tensor has a name of the client's own.

    Raises:
        InvalidInput: unknown names, or rows that do not fit each other.
    """
    first = tensors[0]
    if has_unknown_name(tensors):
        is_text = REQUIRED.get(kind or "", (TEXT,)) == (TEXT,)
        first = Tensor(TEXT if is_text else JSON, first.datatype, first.shape, first.data)
        tensors = [first]
    if first.name == JSON or any(tensor.is_json for tensor in tensors):
        return _parsed(tensors)
    for tensor in tensors:
        if tensor.name not in _FIELDS:
            raise InvalidInput(f"{tensor.name!r:.60} is no input; there are {_KNOWN}.", "inputs")
    columns = _columns({tensor.name: tensor for tensor in tensors})
    if list(columns) == [TEXT]:
        return columns[TEXT]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _parsed(tensors: Sequence[Tensor]) -> list[Any]:
    if len(tensors) > 1:
        message = "a tensor of JSON holds whole inputs; send nothing beside it."
        raise InvalidInput(message, "inputs")
    found = []
    for number, text in enumerate(_plain(tensors[0])):
        try:
            found.append(orjson.loads(text))
        except orjson.JSONDecodeError as error:
            message = f"element {number} is not valid JSON: {error}."
            raise InvalidInput(message, f"inputs.{tensors[0].name:.60}") from error
    return found


def _columns(tensors: Mapping[str, Tensor]) -> dict[str, list[Any]]:
    """Each field's value for each row."""
    plain = {name: _plain(tensor) for name, tensor in tensors.items() if name not in _LISTS}
    num_rows = {len(column) for column in plain.values()}
    is_one = num_rows <= {1}
    lists = {name: _lists(tensor, is_one) for name, tensor in tensors.items() if name not in plain}
    columns = {name: plain[name] if name in plain else lists[name] for name in tensors}
    if len({len(column) for column in columns.values()}) > 1:
        shown = ", ".join(f"{name} {len(column)}" for name, column in columns.items())
        raise InvalidInput(f"the tensors differ in their number of rows: {shown}.", "inputs")
    return columns


def _plain(tensor: Tensor) -> list[str]:
    if len(tensor.shape) > 1 and tensor.shape[1] != 1:
        message = f"one text per row is expected: shape [{tensor.shape[0]}]."
        raise InvalidInput(message, f"inputs.{tensor.name:.60}")
    return tensor.data


def _lists(tensor: Tensor, is_one: bool) -> list[list[str]]:
    """The texts of each row; one row needs no dimension for it."""
    if len(tensor.shape) > 1:
        return list(tensor.rows())
    if is_one:
        return [tensor.data]
    message = "a list of texts per row is expected: shape [rows, texts]."
    raise InvalidInput(message, f"inputs.{tensor.name}")
