"""From one entry, as YAML or a request body gives it, to the plan of a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from adapter_runtime import Example, Limits, SourceError, TaskSpec, absolute
from serving.catalog.keys import key_of
from serving.catalog.plans import RollbackRule, TaskPlan, VersionPlan
from serving.catalog.shapes import (
    SHARED,
    ExampleEntry,
    TaskEntry,
    VersionEntry,
    check_name,
    near_names,
    read_options,
    sentence,
)
from serving.catalog.trees import read_tree
from serving.errors import TaskFileError

__all__ = ["Base", "near_names", "read_entry", "read_options", "read_spec"]

Base = Path | str
"""A folder, or the URL of one, where relative Sources start."""
Shape = TypeVar("Shape", bound=TaskEntry)
Read = TypeVar("Read")
_TASK_KEYS = tuple(TaskEntry.model_fields)
UNREADABLE = "unreadable"
"""Key of an entry that stands for a file that is no YAML; its value is the reason."""


def read_entry(entry: Any, base: Base) -> TaskPlan:
    """One entry as a plan, with every Source absolute.

    Args:
        entry: what YAML gave.
        base: relative Sources start here.

    Raises:
        TaskFileError: a key is unknown or a value is wrong; names it.
    """
    if not isinstance(entry, Mapping):
        raise TaskFileError("A task must be a mapping that starts with `name:`.")
    if UNREADABLE in entry:
        raise TaskFileError(str(entry[UNREADABLE]))
    return guarded(lambda: whole_plan(checked(TaskEntry, entry, _TASK_KEYS), base))


def read_spec(entry: Any, base: Base) -> TaskSpec:
    """One entry as what to read for its newest version.

    Raises:
        TaskFileError: as `read_entry`.
    """
    return read_entry(entry, base).versions[-1].spec


def guarded(read: Callable[[], Read]) -> Read:
    """What `read` gives.

    Raises:
        TaskFileError: also for what hostile paths and endless trees raise on the way.
    """
    try:
        return read()
    except (SourceError, OSError, RuntimeError, ValueError) as error:
        raise TaskFileError(f"The entry cannot be read: {error}.") from error


def checked(shape: type[Shape], entry: Mapping[str, Any], known: Sequence[str]) -> Shape:
    """The entry in its shape.

    Raises:
        TaskFileError: a key is not among the known ones, or a value is wrong.
    """
    try:
        task = shape.model_validate(dict(entry))
    except ValidationError as error:
        raise TaskFileError(sentence(error, tuple(known))) from error
    check_name(task.name)
    return task


def whole_plan(task: TaskEntry, base: Base) -> TaskPlan:
    """The plan of a task.

    Raises:
        TaskFileError: its versions contradict each other, or a Source is none.
    """
    versions = _versions(task, base)
    alive = {plan.id for plan in versions}
    return TaskPlan(
        task.name,
        versions,
        rollback=rule_of(task),
        previous_weights=task.previous_weights,
        retired=tuple(id for id in dict.fromkeys(task.retired) if id not in alive),
    )


def _versions(task: TaskEntry, base: Base) -> tuple[VersionPlan, ...]:
    if task.versions is None:
        only = VersionEntry(adapter=task.adapter, head=task.head)
        return (version_plan(task, only, base),)
    for key in ("adapter", "head"):
        if key in task.model_fields_set:
            raise TaskFileError(f"{key}: with `versions`, give it to each version.")
    if not task.versions:
        raise TaskFileError("versions: give at least one.")
    plans = []
    for place, version in enumerate(task.versions):
        try:
            plans.append(version_plan(task, version, base))
        except TaskFileError as error:
            raise type(error)(f"versions.{place}.{error}") from error
    _check_together(plans)
    return tuple(plans)


def version_plan(task: TaskEntry, version: VersionEntry, base: Base) -> VersionPlan:
    """The plan of one version; what it does not state itself its task states.

    Raises:
        TaskFileError: a Source is none, or it is a shadow with a weight.
    """
    said = {
        key: getattr(version if key in version.model_fields_set else task, key) for key in SHARED
    }
    spec = TaskSpec(
        name=task.name,
        adapter=read_tree(version.adapter, base),
        head=absolute(version.head, base) if version.head else None,
        kind=said["kind"],
        labels=said["labels"],
        limits=Limits(**said["limits"].model_dump(exclude_none=True)),
        options=said["options"].model_dump(exclude_none=True),
        pinned=said["pinned"],
        examples=tuple(map(_example, said["examples"])),
    )
    if version.shadow and version.weight:
        raise TaskFileError("weight: a shadow answers nobody; leave its weight out.")
    return VersionPlan(
        spec,
        key_of(spec),
        id=version.id,
        digest=version.digest,
        weight=version.weight,
        shadow=version.shadow,
        rolled_back=version.rolled_back,
    )


def _example(entry: ExampleEntry) -> Example:
    return Example(entry.inputs, entry.expect)


def rule_of(task: TaskEntry) -> RollbackRule | None:
    """The task's rule, if it has one."""
    return RollbackRule(**task.rollback.model_dump()) if task.rollback else None


def _check_together(plans: Sequence[VersionPlan]) -> None:
    ids = [plan.id for plan in plans if plan.id is not None]
    for id in ids:
        if ids.count(id) > 1:
            raise TaskFileError(f"versions: {ids.count(id)} have the id {id}; give each its own.")
    if all(plan.shadow for plan in plans):
        raise TaskFileError("versions: all are shadows, so nobody would answer.")
    weights = [plan.weight for plan in plans if plan.weight is not None]
    if weights and not any(weights):
        raise TaskFileError("versions: all weights are 0; give one more than 0, or none any.")
