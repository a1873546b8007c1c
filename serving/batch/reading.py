"""Lines into `polyhead batch`: JSON Lines, CSV, Parquet."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from adapter_runtime import SettingsError
from serving.batch.parquet import pyarrow_parquet

Line = dict[str, Any]
_INPUT_FIELDS = (
    "text",
    "text_pair",
    "question",
    "context",
    "choices",
    "source_sentence",
    "sentences",
    "words",
)
_MAX_CELL_CHARS = 16 << 20
"""Python's own limit of 128 Ki is less than a long document; a forgotten quote still ends here."""
_JSON_COLUMNS = frozenset({"choices", "sentences", "words", "parameters"})


@dataclass(frozen=True, slots=True)
class Record:
    """One line read: its content or why it is bad; `size` is its share of the whole input."""

    content: Line | None
    reason: str = ""
    size: int = 1


@dataclass(frozen=True, slots=True)
class Reading:
    """An open input: its records and their sizes' sum."""

    records: Iterator[Record]
    total: int


def read_json_lines(path: Path) -> Reading:
    """One JSON object per line; empty lines do not count."""

    def records() -> Iterator[Record]:
        with path.open("rb") as file:
            for raw in file:
                if raw.strip():
                    yield _json_record(raw)

    return Reading(records(), path.stat().st_size)


def _json_record(raw: bytes) -> Record:
    try:
        content = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return Record(None, f"not valid JSON in UTF-8: {error}", len(raw))
    if not isinstance(content, dict):
        return Record(None, 'expected an object such as {"task": "…", "inputs": "…"}', len(raw))
    try:
        orjson.dumps(content)
    except TypeError as error:
        return Record(None, f"cannot be written back: {error}", len(raw))
    return Record(content, size=len(raw))


def read_csv(path: Path) -> Reading:
    """A header and one line per row; see `from_columns` for the columns."""

    def records() -> Iterator[Record]:
        """The rows as they are read."""
        # The limit is the whole process's, and other readers of CSV live in it.
        before = csv.field_size_limit(_MAX_CELL_CHARS)
        try:
            with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
                yield from _csv_rows(csv.DictReader(file), path)
        finally:
            csv.field_size_limit(before)

    return Reading(records(), path.stat().st_size)


def _csv_rows(rows: csv.DictReader[str], path: Path) -> Iterator[Record]:
    try:
        _ = rows.fieldnames
    except csv.Error as error:
        raise SettingsError(f"{path}: the header cannot be read: {error}.") from error
    yield from _csv_records(rows)


def _csv_records(rows: csv.DictReader[str]) -> Iterator[Record]:
    """A record per row; the reader goes on with the next line after one that it cannot read."""
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(None, f"not valid CSV: {error}")
            continue
        size = sum(len(value or "") for value in row.values() if isinstance(value, str)) + 1
        yield _column_record(row, size)


def read_parquet(path: Path) -> Reading:
    """The columns of `from_columns`.

    Raises:
        SettingsError: pyarrow is not installed, or the file is no Parquet file.
    """
    parquet = pyarrow_parquet()

    def records() -> Iterator[Record]:
        """The rows, batch after batch."""
        with parquet.ParquetFile(path) as file:
            try:
                for batch in file.iter_batches(batch_size=1024):
                    yield from _parquet_records(batch)
            except (ValueError, OSError) as error:
                yield Record(None, f"the rest of the file cannot be read: {error}")

    try:
        with parquet.ParquetFile(path) as file:
            return Reading(records(), file.metadata.num_rows)
    except (ValueError, OSError) as error:
        raise SettingsError(f"{path}: no readable Parquet file: {error}") from error


def _parquet_records(batch: Any) -> Iterator[Record]:
    """A record per row; where one row has no Python value, its neighbours still have."""
    for index in range(batch.num_rows):
        try:
            row = batch.slice(index, 1).to_pylist()[0]
        except (ValueError, OverflowError) as error:
            yield Record(None, f"a cell cannot be read: {error}")
            continue
        yield _column_record(row, 1)


def _column_record(row: Mapping[Any, Any], size: int) -> Record:
    try:
        content = orjson.dumps(from_columns(row), default=_as_text)
        return Record(orjson.loads(content), size=size)
    except (ValueError, TypeError) as error:
        return Record(None, str(error), size)


def _as_text(value: Any) -> str:
    """What JSON has no form for: bytes, decimals, durations."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def from_columns(row: Mapping[Any, Any]) -> Line:
    """A row of columns as a line.

    `inputs` holds a text, or an object as JSON; without it the columns text, text_pair, question,
    context, choices, source_sentence, sentences and words make the object. Empty cells are absent.

    Raises:
        ValueError: a cell that must hold JSON does not, or the row has too many cells.
    """
    if None in row:
        raise ValueError("the row has more cells than the header")
    cells = {
        str(name): _cell(name, value) for name, value in row.items() if value not in (None, "")
    }
    fields = {
        name: cells.pop(name) for name in _INPUT_FIELDS if name in cells and "inputs" not in cells
    }
    if fields:
        cells["inputs"] = fields["text"] if set(fields) == {"text"} else fields
    return cells


def _cell(name: str, value: Any) -> Any:
    holds_json = name in _JSON_COLUMNS or (name == "inputs" and str(value).lstrip().startswith("{"))
    if not (isinstance(value, str) and holds_json):
        return value
    try:
        return orjson.loads(value)
    except (orjson.JSONDecodeError, UnicodeEncodeError) as error:
        raise ValueError(f"column {name} holds no valid JSON: {error}") from error
