"""Entries as a store finds them, and what they make together."""

from __future__ import annotations

import re
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from serving.catalog.entries import UNREADABLE, Base, read_entry
from serving.catalog.plans import Broken, TaskFile, TaskPlan
from serving.catalog.store import Change, Entry
from serving.catalog.text import etag_of, parse
from serving.errors import BrokenEntry, TaskFileError, VersionConflict

_NAME = re.compile(rb"^name:[ \t]*['\"]?([A-Za-z0-9][A-Za-z0-9._-]{0,127})\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Found:
    """One entry where it lies.

    Args:
        place: of its file, for messages.
        name: of the task; where the entry gives none, of the file.
        entry: what YAML gave, with a name; one key `unreadable` where it gave none.
        outcome: its plan, or why there is none.
        etag: of the file's bytes.
        data: the file's bytes.
    """

    place: str
    name: str
    entry: Entry
    outcome: TaskPlan | TaskFileError
    etag: str = ""
    data: bytes = b""


def read_found(data: bytes, stem: str, place: str, base: Base) -> Found:
    """The task of one file; a broken one is found with its reason.

    Args:
        data: of the file.
        stem: its name without the ending, which names the task where the entry does not.
        place: the file, for messages.
        base: relative Sources start here.
    """
    etag = etag_of(data)
    try:
        content: Any = parse(data, place)
        if not isinstance(content, dict):
            raise TaskFileError(f"{place}: a task must be a mapping, such as `adapter: ./folder`.")
    except TaskFileError as error:
        # Whose task it is decides whose last good version goes on.
        said = _NAME.search(data)
        return unreadable(said.group(1).decode() if said else stem, place, error, etag)
    entry = {"name": stem, **content}
    name = entry["name"] if isinstance(entry["name"], str) and entry["name"] else stem
    return Found(place, name, entry, _outcome(entry, base, etag), etag, data)


def unreadable(name: str, place: str, error: TaskFileError, etag: str = "") -> Found:
    """What stands for a file that holds no entry."""
    return Found(place, name, {"name": name, UNREADABLE: str(error)}, error, etag)


def found_entry(entry: Any, name: str, base: Base, etag: str = "") -> Found:
    """An entry that has no file of its own.

    Args:
        entry: what it says.
        name: what it is called where it is broken.
        base: relative Sources start here.
        etag: of what holds it.
    """
    return Found("", name, {}, _outcome(entry, base, etag), etag)


def _outcome(entry: Any, base: Base, etag: str) -> TaskPlan | TaskFileError:
    try:
        return replace(read_entry(entry, base), etag=etag)
    except TaskFileError as error:
        return error


def collect(found: Iterable[Found], backbone: str | None = None) -> TaskFile:
    """Good and broken entries; a name used twice is broken, for which one is meant is unknown."""
    by_name: dict[str, list[Found]] = {}
    for each in found:
        by_name.setdefault(each.name, []).append(each)
    plans, broken = [], []
    for name, same in by_name.items():
        outcome = same[0].outcome if len(same) == 1 else TaskFileError(_twice(name, same))
        if isinstance(outcome, TaskPlan):
            plans.append(outcome)
        else:
            broken.append(Broken(_said(name), _said(str(outcome)), same[0].etag))
    return TaskFile(backbone, tuple(plans), tuple(broken))


def _said(text: str) -> str:
    """Text that every answer can hold; names of files may be none."""
    return text.encode("utf-8", "backslashreplace").decode()


def pick(name: str, found: Iterable[Found]) -> Found | None:
    """The entry of a task.

    Raises:
        BrokenEntry: several have the name.
    """
    same = [each for each in found if each.name == name]
    if len(same) > 1:
        raise BrokenEntry(_twice(name, same))
    return same[0] if same else None


def decide(
    name: str, old: Found | None, change: Change, expected: str | None, base: Base
) -> Found | None:
    """What a change makes of an entry, before anything is written.

    Args:
        name: of the task.
        old: as it is; None where there is none.
        change: as the store was given it.
        expected: likewise.
        base: relative Sources start here.

    Returns:
        The entry as it shall be, `old` itself where nothing changes; None where it shall go.

    Raises:
        VersionConflict: the entry is not the expected one.
        TaskFileError: the new entry is broken.
    """
    _guard(name, old.etag if old else None, expected)
    new = change(deepcopy(dict(old.entry)) if old else None)
    if new is None or (old is not None and new == old.entry):
        return None if new is None else old
    if new.get("name") != name:
        raise TaskFileError(f"{name}: a change cannot give the task another name.")
    return Found(old.place if old else "", name, new, read_entry(new, base))


def _guard(name: str, etag: str | None, expected: str | None) -> None:
    if expected is None or expected == etag or (expected == "*" and etag is not None):
        return
    if expected == "-":
        if etag is None:
            return
        raise VersionConflict(f"{name} exists already; leave `If-None-Match` out to change it.")
    if etag is None:
        raise VersionConflict(f"{name} does not exist; leave `If-Match` out to make it.")
    raise VersionConflict(f"{name} is at {etag}, not at {expected}; read it again and repeat.")


def _twice(name: str, same: list[Found]) -> str:
    places = ", ".join(each.place for each in same if each.place)
    where = f" ({places})" if places else ""
    return f"{len(same)} tasks are named {name}; give each its own name{where}."
