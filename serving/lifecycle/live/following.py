"""How a live task follows its entry: which versions stay, come and go."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from adapter_runtime import Note
from serving.catalog.plans import Broken, TaskPlan, VersionPlan
from serving.lifecycle.live.task import Task
from serving.lifecycle.live.version import Version
from serving.views import Event

_UNCHECKED = (
    "Its examples changed since it was checked: they count when it is next admitted, such as after "
    "a restart. Put it under another id to have them checked now."
)


def follow(task: Task, plan: TaskPlan) -> tuple[list[Version], list[Version]]:
    """Make a task what its plan says; what served and is gone from it becomes `leaving`.

    Returns:
        The versions that are new, oldest first, and those that are to go at once: they never
        served, or the entry says that they are retired.
    """
    task.broken = None
    if task.plan == plan:
        return [], []
    before, new, now = list(task.versions), [], []
    for each in plan.versions:
        version = _match(each, before)
        if version is None:
            version = Version(plan.name, each, plan.rollback)
            new.append(version)
        else:
            before.remove(version)
            _update(task, version, each, plan)
        now.append(version)
    kept = {version.id for version in now}
    gone = (version.id for version in before if version.id not in kept)
    task.retired.extend(id for id in gone if id is not None)
    task.plan, task.versions = plan, tuple(now)
    leaving = [version for version in (*task.leaving, *before) if _may_linger(version, plan)]
    gone_now = [version for version in (*task.leaving, *before) if version not in leaving]
    task.leaving = tuple(leaving)
    return new, gone_now


def _may_linger(version: Version, plan: TaskPlan) -> bool:
    return (version.is_admitted or version.is_ready) and version.id not in plan.retired


def break_off(task: Task, broken: Broken) -> None:
    """The task's entry cannot be used; what it was before goes on."""
    if task.broken is not None and task.broken_etag == broken.etag:
        return
    task.broken, task.broken_etag = Note("bad_task_entry", broken.reason), broken.etag
    task.events.append(Event(time.time(), "broken", None, broken.reason))


def _match(plan: VersionPlan, versions: Sequence[Version]) -> Version | None:
    """The live version that a plan speaks of."""
    for version in versions:
        # What never served has no claim to its id: an entry that was wrong can be put right.
        if plan.id is not None and version.id == plan.id:
            return version if version.plan.key == plan.key or version.is_admitted else None
    # An id may have been written beside a version that had none, or be not known yet.
    for version in versions:
        is_open = plan.id is None or version.id is None
        is_same = plan.digest is None or version.digest in (None, plan.digest)
        if is_open and is_same and version.plan.key == plan.key:
            return version
    return None


def _update(task: Task, version: Version, plan: VersionPlan, of: TaskPlan) -> None:
    old = version.plan
    if old.key != plan.key:
        reason = f"Version {plan.id} stood for other content; give the new one another id."
        if version.last_error != reason:
            version.last_error = reason
            task.events.append(Event(time.time(), "source_changed", plan.id, reason))
        # What it serves stays what it was; what traffic it gets is as the entry says now.
        plan = replace(old, weight=plan.weight, shadow=plan.shadow, rolled_back=plan.rolled_back)
    if version.is_ready and old.spec.examples != plan.spec.examples:
        version.last_error = _UNCHECKED
        task.events.append(Event(time.time(), "examples_changed", version.id, _UNCHECKED))
    version.plan = plan
    version.traffic.follow(of.rollback)
    if (old.weight, old.shadow) != (plan.weight, plan.shadow):
        version.traffic.reset()
        version.is_tripped = False
