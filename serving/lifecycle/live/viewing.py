"""Live tasks as clients may see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from adapter_runtime import Average, Composition, Engine, Fuse, Leaf, Merge
from serving.lifecycle.live.states import State
from serving.lifecycle.live.task import Task
from serving.lifecycle.live.version import Version
from serving.views import TaskView, VersionView

Shares = Mapping[Version, float]


def view_of(task: Task, engine: Engine, now_s: float, is_writable: bool) -> TaskView:
    """A task as clients may see it; under the lock of its `Tasks`.

    Args:
        task: which one.
        engine: says where weights are.
        now_s: on the clock of the `Tasks`.
        is_writable: whether the catalog can be changed.
    """
    shares = task.serving()
    all_versions = (*task.leaving, *task.versions)
    views = {one: _version(one, shares, engine, now_s) for one in all_versions}
    best = max(shares, key=shares.__getitem__) if shares else task.best
    shown = views[best] if best in views else VersionView(str(State.REJECTED))
    plan, limits = task.plan, best.plan.spec.limits if best else None
    if best and best.prepared:
        limits = best.prepared.limits
    return TaskView(
        name=task.name,
        state=shown.state,
        kind=shown.kind,
        labels=shown.labels,
        version=shown.id,
        digest=shown.digest,
        residency=shown.residency,
        max_tokens=limits.max_tokens if limits else None,
        overflow=limits.overflow if limits else None,
        stride=limits.stride if limits else None,
        aggregation=limits.aggregation if limits else None,
        reason=_reason(task, shown),
        example=shown.example,
        etag=task.etag or None,
        is_writable=is_writable,
        versions=tuple(views.values()),
        events=tuple(task.events),
        rollback=asdict(plan.rollback) if plan and plan.rollback else None,
        previous_weights=plan.previous_weights if plan else None,
        retired=_retired(task),
    )


def _retired(task: Task) -> tuple[str, ...]:
    """Ids that stand for nothing any more; the same content may be back under its own."""
    ids = dict.fromkeys((*(task.plan.retired if task.plan else ()), *task.retired))
    alive = {version.id for version in task.versions}
    return tuple(id for id in ids if id not in alive)


def _reason(task: Task, shown: VersionView) -> str | None:
    """Why it does not answer, or what is wrong with its entry."""
    if task.broken is not None:
        return task.broken.message
    return " ".join(note.message for note in shown.reasons) or None


def _version(version: Version, shares: Shares, engine: Engine, now_s: float) -> VersionView:
    plan, prepared = version.plan, version.prepared
    spec, outline = plan.spec, version.outline
    retry_at_s = None if version.is_ready else version.retry_at_s
    return VersionView(
        state=str(version.state),
        id=version.id,
        digest=version.digest,
        weight=plan.weight,
        share=round(shares.get(version, 0.0), 6),
        shadow=plan.shadow,
        pinned=spec.pinned,
        residency=engine.residency(prepared) if prepared else None,
        kind=prepared.kind if prepared else spec.kind or outline.kind,
        labels=prepared.labels if prepared else spec.labels or outline.labels,
        reasons=version.reasons,
        last_error=version.last_error,
        load_s=version.load_s,
        in_flight=version.in_flight,
        retry_s=None if retry_at_s is None else max(0.0, retry_at_s - now_s),
        rolled_back=plan.rolled_back,
        adapter=_tree(spec.adapter),
        head=spec.head,
        example=spec.examples[0].inputs if spec.examples else None,
        traffic=version.traffic.view(),
    )


def _tree(tree: Composition | None) -> Any:
    """A composition as a task file writes it."""
    if tree is None or isinstance(tree, Leaf):
        return tree and tree.ref
    children = [_tree(child) for child in tree.children]
    if isinstance(tree, Fuse):
        return {"fuse": children, "fusion": tree.fusion.ref}
    if isinstance(tree, Average):
        return {"average": children, "weights": list(tree.weights), "mode": tree.mode}
    if isinstance(tree, Merge):
        return {"merge": children, "weights": list(tree.weights), "strategy": tree.strategy}
    return {"stack": children}
