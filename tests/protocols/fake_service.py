"""A Service whose tasks live in a dictionary, for protocols alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from adapter_runtime import Kind, LabelScore, Note, RejectedAdapter, Residency, Timing, UnknownTask
from serving.errors import CatalogReadOnly, UnknownVersion, VersionConflict, VersionRetired
from serving.recent import Batch
from serving.service import Answer, Call
from serving.views import Event, TaskView, TrafficView, VersionView

REASONS = (Note("missing_tensor", "x is missing."), Note("not_finite", "y holds NaN."))
FIRST = VersionView(
    "ready",
    id="1",
    digest="d" * 64,
    share=1.0,
    residency="device",
    kind="text-classification",
    labels=("no", "yes"),
    load_s=0.25,
    adapter="/a/topic",
    traffic=TrafficView(4, 1, 0.01, 0.0502, 2, 1),
)
SICK = VersionView("rejected", id="2", reasons=REASONS, last_error="x is missing.")
TOPIC = TaskView(
    "topic",
    "ready",
    kind="text-classification",
    labels=("no", "yes"),
    version="1",
    digest="d" * 64,
    residency="device",
    etag="e0",
    is_writable=True,
    versions=(FIRST, SICK),
    events=(Event(1700000000.0, "ready", "1"),),
    retired=("0",),
)
NEW = TaskView("new", "pending", etag="n0", is_writable=True, versions=(VersionView("pending"),))


@dataclass
class FakeService:
    """Remembers what it was asked to do; changes bump the etag.

    Args:
        gate: preloads wait for it.
        raises: raised by every change.
        course: states that the newest version of a task has, one after another, when looked at.
    """

    views: dict[str, TaskView] = field(default_factory=lambda: {"topic": TOPIC, "new": NEW})
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    raises: Exception | None = None
    course: list[str] = field(default_factory=list)
    is_draining: bool = False
    is_warm: bool = True
    is_writable: bool = True
    num_inside: int = 0

    @property
    def life_cycle(self) -> FakeService:
        """Itself."""
        return self

    async def answer(self, call: Call) -> Answer:
        """The version asked for, else 1."""
        self.calls.append(("answer", call.task, call.version))
        if self.raises is not None:
            raise self.raises
        label = [LabelScore("yes", 1.0)]
        return Answer(
            (label,) * len(call.items),
            Kind.TEXT_CLASSIFICATION,
            call.version or "1",
            Residency.DEVICE,
            Timing(),
        )

    async def batches(self, last: int) -> Sequence[Batch]:
        """None has run."""
        return []

    async def check(self) -> None:
        """Whatever it raises."""
        if self.raises is not None:
            raise self.raises

    async def tasks(self) -> Sequence[TaskView]:
        """All."""
        return list(self.views.values())

    async def task(self, name: str) -> TaskView:
        """One."""
        return self._view(name)

    def _view(self, name: str) -> TaskView:
        if name not in self.views:
            raise UnknownTask(name)
        view = self.views[name]
        if self.course:
            state = self.course.pop(0)
            reasons = REASONS if state == "rejected" else ()
            newest = replace(view.versions[-1], state=state, reasons=reasons)
            view = self.views[name] = replace(view, versions=(*view.versions[:-1], newest))
        return view

    def _guard(self, name: str, expected: str | None) -> None:
        if self.raises is not None:
            raise self.raises
        if not self.is_writable:
            raise CatalogReadOnly("tasks.yaml is a single file; serve a folder.")
        etag = self.views[name].etag if name in self.views else None
        if (
            (expected == "-" and etag is not None)
            or (expected == "*" and etag is None)
            or (expected not in (None, "-", "*") and expected != etag)
        ):
            raise VersionConflict(f"{name} was changed by somebody else; read it again.")

    def _bump(self, view: TaskView) -> None:
        etag = f"{(view.etag or 'e0')[0]}{int((view.etag or 'e0')[1:]) + 1}"
        self.views[view.name] = replace(view, etag=etag)

    async def put(self, name: str, entry: Mapping[str, Any], expected: str | None = None) -> bool:
        """A pending version more."""
        self._guard(name, expected)
        self.calls.append(("put", name, dict(entry), expected))
        is_new = name not in self.views
        view = self.views.get(name) or TaskView(name, "pending", etag="e0", is_writable=True)
        added = VersionView("pending", id=entry.get("id"), adapter=entry.get("adapter"))
        self._bump(replace(view, versions=(*view.versions, added)))
        return is_new

    async def delete(
        self, name: str, version: str | None = None, expected: str | None = None
    ) -> None:
        """A task or a version less."""
        self._view(name)
        self._guard(name, expected)
        self.calls.append(("delete", name, version, expected))
        if version is None:
            del self.views[name]
            return
        self._find(name, version)
        view = self.views[name]
        kept = tuple(each for each in view.versions if each.id != version)
        self._bump(replace(view, versions=kept, retired=(*view.retired, version)))

    async def act(self, name: str, version: str, action: str, expected: str | None = None) -> None:
        """Remembers it; what is rejected cannot be preloaded or promoted."""
        self._view(name)
        if action in ("preload", "evict"):
            if self.raises is not None:
                raise self.raises
        else:
            self._guard(name, expected)
        found = self._find(name, version)
        self.calls.append((action, name, version, expected))
        if self.gate is not None and action == "preload":
            await self.gate.wait()
        if found.state == "rejected" and action in ("preload", "promote"):
            raise RejectedAdapter(f"{name} {version}", found.reasons)

    async def set_traffic(
        self,
        name: str,
        weights: Mapping[str, float] | None,
        shadow: Sequence[str],
        expected: str | None = None,
    ) -> None:
        """Weights and shadows as told."""
        view = self._view(name)
        self._guard(name, expected)
        self.calls.append(("traffic", name, weights, tuple(shadow), expected))
        versions = tuple(
            replace(
                each,
                weight=None if weights is None else weights.get(each.id or "", 0.0),
                shadow=each.id in shadow,
            )
            for each in view.versions
        )
        self._bump(replace(view, versions=versions))

    def _find(self, name: str, id: str) -> VersionView:
        view = self._view(name)
        if id in view.retired:
            raise VersionRetired(f"Version {id} is retired.")
        for version in view.versions:
            if version.id == id:
                return version
        raise UnknownVersion(f"{name} has no version {id}.")

    async def start(self) -> None:
        """Nothing to do."""

    def drain(self) -> None:
        """Refuse what is new."""
        self.is_draining = True

    def stop(self) -> None:
        """Nothing to do."""

    def measure(self) -> None:
        """Nothing to do."""
