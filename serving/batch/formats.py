"""Which kind of file is read and written how."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from adapter_runtime import SettingsError
from serving.batch.reading import Reading, read_csv, read_json_lines, read_parquet
from serving.batch.writing import CsvWriter, JsonLinesWriter, ParquetWriter, Writer


@dataclass(frozen=True, slots=True)
class FileFormat:
    """How one kind of file is read and written."""

    read: Callable[[Path], Reading]
    write: Callable[[Path], Writer]


FORMATS: Mapping[str, FileFormat] = MappingProxyType(
    {
        ".jsonl": FileFormat(read_json_lines, JsonLinesWriter),
        ".ndjson": FileFormat(read_json_lines, JsonLinesWriter),
        ".json": FileFormat(read_json_lines, JsonLinesWriter),
        ".csv": FileFormat(read_csv, CsvWriter),
        ".parquet": FileFormat(read_parquet, ParquetWriter),
    }
)


def format_of(path: Path) -> FileFormat:
    """The format that a file's name says.

    Raises:
        SettingsError: the ending is unknown.
    """
    if path.suffix.lower() not in FORMATS:
        raise SettingsError(f"{path}: unknown ending; write {', '.join(FORMATS)}.")
    return FORMATS[path.suffix.lower()]


@contextmanager
def written_whole(path: Path) -> Iterator[Writer]:
    """A writer whose file appears under its name only when all of it is written.

    Raises:
        SettingsError: the folder cannot be written.
    """
    made = format_of(path)
    if path.is_dir():
        raise SettingsError(f"{path}: is a folder; name the output file.")
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        writer = made.write(draft)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {error.strerror}.") from error
    try:
        try:
            yield writer
        finally:
            writer.close()
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
