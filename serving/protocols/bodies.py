"""Bodies that state a task or its traffic: JSON or YAML, small, plain and not deep."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
import yaml
from starlette.requests import Request

from adapter_runtime import InvalidInput
from serving.errors import BodyTooLarge
from serving.protocols.wire import read_body
from serving.unreadable import UNREADABLE

_YAML_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})
_MAX_YAML_BYTES = 256 << 10
"""A YAML parser takes seconds for what JSON takes milliseconds."""
_MAX_DEPTH = 32
_MAX_VALUES = 200_000
_MAX_INTEGER = 1 << 63
_PLAIN = (str, bool, int, float, type(None))
_HINT = 'send a task file entry such as {"adapter": "hf://org/name"}'


async def read_entry(request: Request, max_bytes: int, hint: str = _HINT) -> dict[str, Any]:
    """The body as a mapping of plain values.

    Args:
        request: its content-type says whether the body is YAML; anything else is read as JSON.
        max_bytes: larger bodies are refused while they are read.
        hint: what to send, for messages.

    Raises:
        BodyTooLarge: it has too many bytes.
        InvalidInput: it is empty, not readable, deep, or no mapping.
    """
    body = await read_body(request, max_bytes, "state less at once, or fewer examples and labels")
    if not body.strip():
        raise InvalidInput(f"is empty; {hint}.", "body")
    if _is_yaml(request):
        content = await asyncio.to_thread(_read_yaml, body)
    else:
        content = _read_json(body)
    if not isinstance(content, dict):
        raise InvalidInput(f"is no mapping; {hint}.", "body")
    return content


def _is_yaml(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in _YAML_TYPES


def _read_json(body: bytes) -> Any:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(
            f"is not valid JSON in UTF-8: {error}; send YAML with content-type: application/yaml.",
            "body",
        ) from error
    return _plain(content)


def _read_yaml(body: bytes) -> Any:
    if len(body) > _MAX_YAML_BYTES:
        raise BodyTooLarge(f"YAML is taken up to {_MAX_YAML_BYTES} bytes; send this as JSON.")
    try:
        content = yaml.safe_load(body.decode())
    except UNREADABLE as error:
        said = " ".join(str(error).split())[:300]
        raise InvalidInput(f"is not readable as YAML in UTF-8: {said}.", "body") from error
    return _plain(content)


def _plain(content: Any) -> Any:
    """The content, once it is known to hold nothing but what JSON can say, and not too much."""
    for count, (place, value, depth) in enumerate(_walk(content, "", 0)):
        if count >= _MAX_VALUES:
            raise InvalidInput(f"holds more than {_MAX_VALUES} values.", "body")
        if depth > _MAX_DEPTH:
            raise InvalidInput(f"nests more than {_MAX_DEPTH} deep.", "body")
        if not isinstance(value, (*_PLAIN, dict, list)):
            raise InvalidInput(f"is a {type(value).__name__}; quote it to make it text.", place)
        if isinstance(value, int) and abs(value) > _MAX_INTEGER:
            raise InvalidInput("is larger than any number that is of use here.", place)
        if isinstance(value, str) and not value.isascii():
            _check_text(value, place)
    return content


def _walk(value: Any, place: str, depth: int) -> Iterator[tuple[str, Any, int]]:
    """Every value with its place; a value that is too deep is not entered."""
    yield place or "body", value, depth
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, dict):
        for key, child in value.items():
            if not isinstance(key, str):
                raise InvalidInput(f"has the key {key!r:.50}; quote it.", place or "body")
            _check_text(key, place or "body")
            yield from _walk(child, f"{place}.{key}" if place else key, depth + 1)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _walk(child, f"{place}[{index}]", depth + 1)


def _check_text(text: str, place: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput("is text that UTF-8 cannot hold.", place) from error
