"""Request bodies that make or change a task, checked like a task file's entries."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from adapter_runtime import InvalidInput
from serving.catalog.entries import (
    Base,
    checked,
    guarded,
    read_entry,
    rule_of,
    version_plan,
    whole_plan,
)
from serving.catalog.plans import TaskPlan
from serving.catalog.shapes import OF_VERSION, PutEntry, VersionEntry, check_name
from serving.catalog.store import Entry
from serving.catalog.trees import map_tree
from serving.errors import TaskFileError

_KEYS = tuple(PutEntry.model_fields)
_ONLY_ONE = ("id", "weight", "shadow", "digest")
_ONLY_WHOLE = ("previous_weights", "retired")
_SAYS_WHAT = ("adapter", "head", "kind")
_FIELD = re.compile(r"(\S+)(?:: |(?= is no known key))")


@dataclass(frozen=True, slots=True)
class Put:
    """A request body that may be written.

    Args:
        name: of the task.
        body: the body, unchanged but for its name.
        plan: what it means; of one version where it is only a version.
        is_whole: it states `versions:` and so replaces the task.
    """

    name: str
    body: Mapping[str, Any]
    plan: TaskPlan
    is_whole: bool


def read_put(name: str, body: Any, base: Base) -> Put:
    """A body of `PUT /tasks/{name}`, checked like a task file's entry.

    Args:
        name: of the task, from the address.
        body: what the request holds; a `name` in it must be the same.
        base: relative Sources start here.

    Raises:
        InvalidInput: the body is broken; names the key.
    """
    try:
        check_name(name)
    except TaskFileError as error:
        raise InvalidInput(str(error), "name") from error
    if not isinstance(body, Mapping):
        raise InvalidInput("give a mapping, as a task file has one for each task.", "body")
    if body.get("name", name) != name:
        raise InvalidInput(f"the address names {name}; leave the name out of the body.", "name")
    named = {"name": name, **body}
    if named.get("versions", ()) is None:
        del named["versions"]
    try:
        return guarded(lambda: _put(named, base))
    except TaskFileError as error:
        raise _invalid(error) from error


def checked_entry(entry: Entry, base: Base) -> Entry:
    """The entry, if it may be written.

    Raises:
        InvalidInput: it may not; names the key.
    """
    try:
        read_entry(entry, base)
    except TaskFileError as error:
        raise _invalid(error) from error
    return entry


def map_sources(entry: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """The entry with every Source in it changed, such as pinned to a commit.

    Args:
        entry: a task's or a version's; already checked.
        change: from a Source as written to what shall be written.
    """
    changed = dict(entry)
    if entry.get("adapter") is not None:
        changed["adapter"] = map_tree(entry["adapter"], change)
    if entry.get("head"):
        changed["head"] = change(entry["head"])
    if entry.get("versions"):
        changed["versions"] = [map_sources(each, change) for each in entry["versions"]]
    return changed


def _put(named: Mapping[str, Any], base: Base) -> Put:
    put = checked(PutEntry, named, _KEYS)
    is_whole = "versions" in named
    if is_whole:
        for key in _ONLY_ONE:
            if key in named:
                raise TaskFileError(f"{key}: with `versions`, give it to each version.")
        return Put(put.name, named, whole_plan(put, base), True)
    for key in _ONLY_WHOLE:
        if key in named:
            raise TaskFileError(f"{key}: goes with `versions` only; leave it out.")
    own = {key: getattr(put, key) for key in OF_VERSION if key in put.model_fields_set}
    plan = version_plan(put, VersionEntry.model_construct(set(own), **own), base)
    if not any(key in named for key in _SAYS_WHAT):
        # Else whoever meant to change one key would get the bare backbone instead of the adapter.
        raise TaskFileError(
            "adapter: is missing; say where its weights lie, or null for the backbone alone. A "
            "body states all of a version and takes nothing over from the one before."
        )
    task = TaskPlan(put.name, (plan,), rollback=rule_of(put))
    return Put(put.name, named, task, False)


def _invalid(error: TaskFileError) -> InvalidInput:
    """The same of a request; the field is what the sentence begins with."""
    said = _FIELD.match(str(error))
    if said is None:
        return InvalidInput(str(error), "body")
    return InvalidInput(str(error)[said.end() :].strip(), said.group(1))
