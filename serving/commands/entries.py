"""From files and options to the entry that a server is sent."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import yaml

from serving.errors import TaskFileError
from serving.unreadable import UNREADABLE

STDIN = "-"
_MAX_BYTES = 8 << 20
_NODES = ("stack", "average", "fuse", "merge")


def read_entry(name: str, file: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of a task; options win over the file. Blocks.

    Args:
        name: of the task; says which entry of a file with many.
        file: YAML or JSON; `-` is standard input; None means that options say all.
        given: what options say; their paths start in the working directory, those of a file in
            its folder.

    Raises:
        TaskFileError: the file cannot be read, or nothing is said at all.
    """
    entry = {} if file is None else _entry_of(name, file)
    options = {key: value for key, value in given.items() if value is not None}
    entry.update(absolute_entry(options, Path.cwd()))
    if not entry:
        raise TaskFileError("Nothing to put: give a FILE, --adapter or --head.")
    try:
        orjson.dumps(entry)
    except TypeError as error:
        raise TaskFileError(f"{file}: holds what JSON cannot: {error}; quote it.") from error
    return entry


def _entry_of(name: str, file: str) -> dict[str, Any]:
    content = _load(file)
    if isinstance(content, dict) and isinstance(content.get("tasks"), list):
        named = [each for each in content["tasks"] if _name(each) == name]
        if len(named) != 1:
            known = ", ".join(str(_name(each)) for each in content["tasks"])
            raise TaskFileError(f"{file}: holds {len(named)} tasks named {name}; it has {known}.")
        content = named[0]
    if not isinstance(content, dict) or not content:
        raise TaskFileError(f"{file}: expected a task file entry, such as `adapter: ./folder`.")
    folder = Path.cwd() if file == STDIN else Path(file).expanduser().absolute().parent
    return absolute_entry(content, folder)


def _name(entry: Any) -> Any:
    return entry.get("name") if isinstance(entry, dict) else None


def _load(file: str) -> Any:
    try:
        return yaml.safe_load(_read(file).decode())
    except OSError as error:
        raise TaskFileError(f"{file}: cannot be read: {error.strerror}.") from error
    except UNREADABLE as error:
        said = " ".join(str(error).split())
        raise TaskFileError(f"{file}: not readable as YAML or JSON: {said}") from error


def _read(file: str) -> bytes:
    if file == STDIN:
        return sys.stdin.buffer.read(_MAX_BYTES)
    with Path(file).expanduser().open("rb") as stream:
        return stream.read(_MAX_BYTES)


def newest_id(entry: Mapping[str, Any]) -> str | None:
    """The id that an entry gives to its newest version; None where it gives none."""
    versions = entry.get("versions")
    newest = versions[-1] if isinstance(versions, list) and versions else entry
    id = newest.get("id") if isinstance(newest, dict) else None
    return None if id is None else str(id)


def absolute_entry(entry: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The entry with every path that exists here made absolute, for the server's folder is another.

    Args:
        entry: as written; what is no Source stays as it is.
        folder: where its relative paths start.
    """
    found = dict(entry)
    for key in ("adapter", "head"):
        if key in found:
            found[key] = _absolute(found[key], folder)
    if isinstance(found.get("versions"), list):
        found["versions"] = [
            absolute_entry(each, folder) if isinstance(each, dict) else each
            for each in found["versions"]
        ]
    return found


def _absolute(tree: Any, folder: Path) -> Any:
    if isinstance(tree, str):
        return _absolute_source(tree, folder)
    if isinstance(tree, list):
        return [_absolute(each, folder) for each in tree]
    if isinstance(tree, dict):
        sources = (*_NODES, "fusion")
        return {key: _absolute(tree[key], folder) if key in sources else tree[key] for key in tree}
    return tree


def _absolute_source(source: str, folder: Path) -> str:
    if not source or "://" in source:
        return source
    try:
        path = folder / Path(source).expanduser()
        return str(path.resolve()) if path.exists() else source
    except (OSError, ValueError, RuntimeError):  # such as a name too long for a path
        return source


def read_weights(pairs: Sequence[str]) -> dict[str, float]:
    """Weights from `ID=WEIGHT` pairs.

    Raises:
        TaskFileError: one is no such pair.
    """
    weights: dict[str, float] = {}
    for pair in pairs:
        id, separator, number = pair.rpartition("=")
        try:
            if not separator or not id or id in weights:
                raise ValueError(pair)
            weights[id] = float(number)
        except ValueError as error:
            raise TaskFileError(
                f"{pair}: write VERSION=WEIGHT, such as 1=90, once each."
            ) from error
    return weights
