"""Verdicts that outlive the process: a known version loads without a new check."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from adapter_runtime import Note
from serving.lifecycle.remembering.remembered import Remembered

_ROOM = "verdicts"
_PRUNE_EVERY = 64


class VerdictFiles:
    """Remembers verdicts in memory and, where it can be written, in a folder. Thread-safe.

    Args:
        remembered: the folder; several processes may share it.
        most: verdicts that are kept; the longest unused are forgotten first.
    """

    def __init__(self, remembered: Remembered, most: int = 10_000) -> None:
        self._remembered = remembered
        self._most = most
        self._known: OrderedDict[str, tuple[Note, ...]] = OrderedDict()
        self._num_kept = 0
        self._lock = threading.Lock()

    def find(self, key: str) -> tuple[Note, ...] | None:
        """The problems that a check found, none when it accepted; None when nothing is known."""
        with self._lock:
            problems = self._known.get(key)
        if problems is None:
            problems = _problems(self._remembered.read(_ROOM, key))
        if problems is not None:
            self._remembered.touch(_ROOM, key)
            self._learn(key, problems)
        return problems

    def keep(self, key: str, problems: tuple[Note, ...]) -> None:
        """Remember what a check found."""
        self._learn(key, problems)
        value = [{"code": note.code, "message": note.message} for note in problems]
        self._remembered.write(_ROOM, key, value)
        with self._lock:
            is_due = self._num_kept % _PRUNE_EVERY == 0
            self._num_kept += 1
        if is_due:
            self._remembered.prune(_ROOM, self._most)

    def _learn(self, key: str, problems: tuple[Note, ...]) -> None:
        with self._lock:
            self._known[key] = problems
            self._known.move_to_end(key)
            while len(self._known) > self._most:
                self._known.popitem(last=False)


def _problems(value: Any) -> tuple[Note, ...] | None:
    """Notes of a file's value; None where it is of another shape."""
    if not isinstance(value, list):
        return None
    found = [_note(each) for each in value]
    return None if None in found else tuple(note for note in found if note is not None)


def _note(value: Any) -> Note | None:
    if not isinstance(value, dict):
        return None
    code, message = value.get("code"), value.get("message")
    if not isinstance(code, str) or not isinstance(message, str):
        return None
    return Note(code, message)
