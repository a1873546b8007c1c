"""From an Answer to output tensors: a table of columns for each kind, and all of it as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import orjson

from adapter_runtime import InvalidInput, Kind
from serving.protocols.oip_inputs import JSON
from serving.protocols.oip_tensors import (
    BYTES,
    FP32,
    INT64,
    NO_SHARED_MEMORY,
    SHARED_MEMORY,
    Tensor,
    read_scalars,
)
from serving.service import Answer


class Spread(StrEnum):
    """How the records of n rows become one tensor."""

    BEST = "best"
    """The first record of each row. Shape: `[n]`."""
    TABLE = "table"
    """All records of each row, where rows have equally many. Shape: `[n, k]`."""
    CHAIN = "chain"
    """All records, row after row. Shape: `[m]`."""
    COUNT = "count"
    """How many records each row has. Shape: `[n]`."""


@dataclass(frozen=True, slots=True)
class Column:
    """One output of a kind.

    Args:
        name, datatype: of the tensor.
        spread: how records become it.
        fields: of a record, the first that it has; none means the record itself.
    """

    name: str
    datatype: str
    spread: Spread
    fields: tuple[str, ...] = ()

    @property
    def num_dimensions(self) -> int:
        """Dimensions of the tensor."""
        return 2 if self.spread is Spread.TABLE else 1


def _columns(spread: Spread, **datatypes: str) -> tuple[Column, ...]:
    """Columns that are named after their fields."""
    return tuple(Column(name, kind, spread, (name,)) for name, kind in datatypes.items())


_COUNT = Column("count", INT64, Spread.COUNT)
_LABELS = Column("labels", BYTES, Spread.TABLE, ("label",))
_SCORES = Column("scores", FP32, Spread.TABLE, ("score",))
_SIMILARITY = (Column("similarity", FP32, Spread.TABLE),)
_WHOLE = Column(JSON, BYTES, Spread.BEST)
OUTPUTS: Mapping[str, tuple[Column, ...]] = MappingProxyType(
    {
        Kind.TEXT_CLASSIFICATION: (
            *_columns(Spread.BEST, label=BYTES, score=FP32),
            _LABELS,
            _SCORES,
        ),
        Kind.TOKEN_CLASSIFICATION: (
            Column("entity", BYTES, Spread.CHAIN, ("entity", "entity_group")),
            *_columns(Spread.CHAIN, score=FP32, word=BYTES, start=INT64, end=INT64),
            _COUNT,
        ),
        Kind.QUESTION_ANSWERING: _columns(
            Spread.BEST, answer=BYTES, score=FP32, start=INT64, end=INT64
        ),
        Kind.MULTIPLE_CHOICE: (
            *_columns(Spread.BEST, label=BYTES, index=INT64, score=FP32),
            _LABELS,
            Column("indices", INT64, Spread.TABLE, ("index",)),
            _SCORES,
        ),
        Kind.FEATURE_EXTRACTION: (Column("embedding", FP32, Spread.TABLE),),
        Kind.SENTENCE_SIMILARITY: _SIMILARITY,
        Kind.FILL_MASK: _columns(
            Spread.TABLE, token=INT64, token_str=BYTES, score=FP32, sequence=BYTES
        ),
        Kind.TEXT_GENERATION: _columns(Spread.BEST, generated_text=BYTES),
        Kind.ZERO_SHOT_CLASSIFICATION: (
            *_columns(Spread.BEST, label=BYTES, score=FP32),
            _LABELS,
            _SCORES,
        ),
        Kind.TEXT_RANKING: (
            *_columns(Spread.BEST, index=INT64, score=FP32),
            Column("indices", INT64, Spread.TABLE, ("index",)),
            _SCORES,
        ),
        Kind.DEPENDENCY_PARSING: (
            *_columns(Spread.CHAIN, word=BYTES, head=INT64, label=BYTES, score=FP32),
            _COUNT,
        ),
    }
)
"""The typed outputs of each kind; `json` stands beside them."""
_ALL = frozenset(column.name for columns in OUTPUTS.values() for column in columns) | {JSON}


def columns_of(kind: str | None) -> tuple[Column, ...]:
    """All outputs of a kind; of one that is not known yet, `json` alone."""
    return (*OUTPUTS.get(kind or "", ()), _WHOLE)


def read_requested(outputs: Any) -> tuple[str, ...]:
    """The names in a request's `outputs`; none means all.

    Raises:
        InvalidInput: no list of outputs, or one that no kind has.
    """
    if outputs is None:
        return ()
    if not isinstance(outputs, list):
        raise InvalidInput("expected a list of outputs.", "outputs")
    names = [_name(each, f"outputs[{number}]") for number, each in enumerate(outputs)]
    if len(set(names)) < len(names):
        raise InvalidInput("an output is named twice.", "outputs")
    return tuple(names)


def _name(output: Any, place: str) -> str:
    name = output.get("name") if isinstance(output, dict) else None
    if not isinstance(name, str):
        raise InvalidInput("expected an object with the name of an output.", place)
    if name not in _ALL:
        raise _unknown(name, "GET the model lists its outputs")
    parameters = read_scalars(output.get("parameters"), f"{place}.parameters")
    if SHARED_MEMORY in parameters:
        raise InvalidInput(NO_SHARED_MEMORY, place)
    if parameters.get("classification"):
        message = "is not taken; ask a classification for labels and scores, with top_k."
        raise InvalidInput(message, f"{place}.parameters.classification")
    return name


def _unknown(name: str, hint: str) -> InvalidInput:
    return InvalidInput(f"{name!r:.60} is no output here; {hint}.", "outputs")


def tensors_of(answer: Answer, items: Sequence[Any], requested: Sequence[str] = ()) -> list[Tensor]:
    """An answer's output tensors.

    Args:
        answer: to the items.
        items: the inputs that were asked.
        requested: the outputs to give, in order; all that can be given when empty.

    Raises:
        InvalidInput: a requested output is not the kind's, or its rows differ in length.
    """
    columns = {column.name: column for column in (*_typed(answer.kind, items), _WHOLE)}
    for name in requested:
        if name not in columns:
            raise _unknown(name, f"there are {', '.join(columns)}")
    rows = [_records(output) for output in answer.outputs]
    found = []
    for name in requested or columns:
        tensor = _as_json(answer) if name == JSON else _tensor(columns[name], rows)
        if tensor is not None:
            found.append(tensor)
        elif requested:
            message = f"{name} has rows of different lengths, which are no tensor; ask for json."
            raise InvalidInput(message, "outputs")
    return found


def _typed(kind: str, items: Sequence[Any]) -> tuple[Column, ...]:
    """The kind's columns; embedding tasks also say how alike sentences are, if asked that."""
    if kind not in (Kind.FEATURE_EXTRACTION, Kind.SENTENCE_SIMILARITY):
        return OUTPUTS.get(kind, ())
    comparing = {isinstance(item, dict) and "source_sentence" in item for item in items}
    if len(comparing) > 1:
        return ()
    return _SIMILARITY if comparing == {True} else OUTPUTS[Kind.FEATURE_EXTRACTION]


def _records(output: Any) -> Sequence[Any]:
    return output if isinstance(output, list | tuple) else (output,)


def _as_json(answer: Answer) -> Tensor:
    option = orjson.OPT_SERIALIZE_NUMPY
    data = [orjson.dumps(output, option=option).decode() for output in answer.outputs]
    return Tensor(JSON, BYTES, (len(data),), data)


def _tensor(column: Column, rows: Sequence[Sequence[Any]]) -> Tensor | None:
    """The column over all rows; None where their lengths do not allow it."""
    lengths = [len(row) for row in rows]
    shape: tuple[int, ...]
    if any(isinstance(row[0], list) for row in rows if row):  # as of texts with several masks
        return None
    if column.spread is Spread.COUNT:
        return Tensor(column.name, column.datatype, (len(rows),), lengths)
    if column.spread is Spread.BEST:
        if not all(lengths):
            return None
        rows, shape = [row[:1] for row in rows], (len(rows),)
    elif column.spread is Spread.CHAIN:
        shape = (sum(lengths),)
    elif len(set(lengths)) == 1:
        shape = (len(rows), lengths[0])
    else:
        return None
    data = [_field(column, record) for row in rows for record in row]
    return Tensor(column.name, column.datatype, shape, data)


def _field(column: Column, record: Any) -> Any:
    if not column.fields:
        return record
    return getattr(record, next(name for name in column.fields if hasattr(record, name)))
