"""The lines of standard input, as they come."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator

from adapter_runtime import SettingsError

_PAUSE_S = 0.05
_CHUNK = 1 << 16
_MARK = "\ufeff"
"""What some editors write before the first line of a file."""


def is_typed() -> bool:
    """Whether somebody types them.

    Raises:
        SettingsError: there is no standard input.
    """
    if sys.stdin is None:
        raise SettingsError("Standard input is closed: give the texts on the line.")
    return sys.stdin.isatty()


def lines() -> Iterator[str | None]:
    """Those that are not empty, and None while none comes; bytes that are no text are kept.

    Raises:
        SettingsError: there is no standard input.
    """
    is_typed()
    for line in _raw(sys.stdin.fileno()):
        text = None if line is None else line.decode("utf-8", "surrogateescape")
        if text is None or (text := text.removeprefix(_MARK).strip()):
            yield text


def _raw(source: int) -> Iterator[bytes | None]:
    rest = b""
    while True:
        if not select.select([source], [], [], _PAUSE_S)[0]:
            yield None
            continue
        found = os.read(source, _CHUNK)
        if not found:
            break
        *whole, rest = (rest + found).split(b"\n")
        yield from whole
    yield rest
