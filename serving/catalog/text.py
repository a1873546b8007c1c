"""YAML of task files: bytes to a value, and an entry to bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import yaml

from serving.errors import TaskFileError
from serving.unreadable import UNREADABLE

MAX_BYTES = 8 << 20
_ETAG_DIGITS = 16
_WIDTH = 100


def parse(data: bytes, place: str) -> Any:
    """What the YAML says.

    Args:
        data: of the file, at most `MAX_BYTES`.
        place: the file, for messages.

    Raises:
        TaskFileError: it is too large or no YAML.
    """
    if len(data) > MAX_BYTES:
        raise TaskFileError(f"{place}: larger than {MAX_BYTES} bytes; use a folder of task files.")
    try:
        # The C parser ends the process where a hostile file nests deeply.
        return yaml.load(data.decode("utf-8-sig"), Loader=_Loader)  # noqa: S506, it is a safe one
    except UNREADABLE as error:
        message = f"{place}: not readable as YAML: {' '.join(str(error).split())}"
        raise TaskFileError(message) from error


def dump(entry: Mapping[str, Any], before: bytes = b"") -> bytes:
    """A task's entry as a readable file: the name first, other keys in their order.

    Args:
        entry: of plain values.
        before: the file as it was; the comments that it begins with stay, others are lost.

    Raises:
        TaskFileError: a value cannot be written as YAML, or there are too many.
    """
    ordered = {"name": entry["name"], **entry}
    try:
        text = yaml.dump(ordered, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
        data = _opening(before) + text.encode("utf-8")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise TaskFileError(f"{entry['name']}: cannot be written as YAML: {error}") from error
    parse(data, str(entry["name"]))  # nothing is written that could not be read
    return data


def etag_of(data: bytes) -> str:
    """A short name of exactly these bytes."""
    return hashlib.sha256(data).hexdigest()[:_ETAG_DIGITS]


class _Loader(yaml.SafeLoader):
    """Reads halves of characters, as JSON writes rare ones, as whole characters."""


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    text = str(loader.construct_scalar(node))
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16")


_Loader.add_constructor("tag:yaml.org,2002:str", _text)


class _Dumper(yaml.SafeDumper):
    """Writes lists within their key, as people do."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _represent(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # Rare line breaks would be folded into spaces between any other quotes.
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent)


def _opening(before: bytes) -> bytes:
    lines = before.splitlines(keepends=True)
    end = next((at for at, line in enumerate(lines) if not line.startswith(b"#")), len(lines))
    return b"".join(lines[:end])
