"""Lines out of `polyhead batch`: JSON Lines, CSV, Parquet."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import orjson

from serving.batch.parquet import pyarrow_parquet
from serving.batch.reading import Line

_DUMP = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
_COLUMNS = ("task", "outputs", "error_code", "error_message", "members")


class Writer(Protocol):
    """An open output."""

    def write(self, lines: Iterable[Line]) -> None:
        """Append lines."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


class JsonLinesWriter:
    """One JSON object per line."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, lines: Iterable[Line]) -> None:
        """Append lines."""
        self._file.writelines(orjson.dumps(line, option=_DUMP) for line in lines)

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


def to_columns(line: Line) -> dict[str, str | None]:
    """A line as columns: what is no plain text is JSON; `members` holds all other keys."""
    error, task = line.get("error") or {}, line.get("task")
    rest = {name: value for name, value in line.items() if name not in ("task", "outputs", "error")}
    return {
        "task": task if task is None or isinstance(task, str) else _dump(task),
        "outputs": _dump(line["outputs"]) if "outputs" in line else None,
        "error_code": error.get("code"),
        "error_message": error.get("message"),
        "members": _dump(rest) if rest else None,
    }


def _dump(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()


class CsvWriter:
    """A header and one row per line."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._rows = csv.DictWriter(self._file, _COLUMNS)
        self._rows.writeheader()

    def write(self, lines: Iterable[Line]) -> None:
        """Append lines."""
        self._rows.writerows(to_columns(line) for line in lines)

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


class ParquetWriter:
    """One row group per call of write."""

    def __init__(self, path: Path) -> None:
        parquet = pyarrow_parquet()
        import pyarrow

        self._table = pyarrow.Table.from_pylist
        self._schema = pyarrow.schema([(name, pyarrow.string()) for name in _COLUMNS])
        self._file = parquet.ParquetWriter(path, self._schema)

    def write(self, lines: Iterable[Line]) -> None:
        """Append lines."""
        self._file.write_table(self._table([to_columns(line) for line in lines], self._schema))

    def close(self) -> None:
        """Finish the file."""
        self._file.close()
