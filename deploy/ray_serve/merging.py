"""One view of a task from those of several replicas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from adapter_runtime import Residency
from serving.lifecycle.live.states import State
from serving.views import Event, TaskView, TrafficView, VersionView

_BEST_FIRST = (
    State.READY,
    State.CHECKING,
    State.LOADING,
    State.PENDING,
    State.QUARANTINED,
    State.REJECTED,
    State.RETIRED,
)
_STATES = {str(state): place for place, state in enumerate(_BEST_FIRST)}
_TIERS = {str(tier): place for place, tier in enumerate((Residency.DEVICE, Residency.HOST))}
_UNABLE = frozenset({State.QUARANTINED, State.REJECTED})
_MOST_EVENTS = 50
Item = TypeVar("Item")


def merge(views: Sequence[TaskView]) -> TaskView:
    """A task as all replicas together serve it.

    It is ready where one of them answers; why another does not is told beside it. Of replicas
    that know different entries, those with the latest news are believed.

    Args:
        views: of the same task, each from another replica; at least one.
    """
    if len(views) == 1:
        return views[0]
    newest = max(views, key=_news)
    abreast = [view for view in views if view.etag == newest.etag]
    best = min(abreast, key=lambda view: _place(_STATES, view.state))
    versions = tuple(
        _merge_version([version, *_same(version, at, best, abreast)], len(abreast))
        for at, version in enumerate(best.versions)
    )
    return replace(
        best,
        residency=_nearest(view.residency for view in abreast if view.version == best.version),
        reason=best.reason or _elsewhere(abreast),
        versions=versions,
        events=_events(views),
        retired=tuple(dict.fromkeys(id for view in abreast for id in view.retired)),
    )


def merge_all(answers: Sequence[Sequence[TaskView]]) -> list[TaskView]:
    """All tasks of all replicas, by name.

    Args:
        answers: of each replica.
    """
    by_name: dict[str, list[TaskView]] = {}
    for views in answers:
        for view in views:
            by_name.setdefault(view.name, []).append(view)
    return [merge(views) for views in by_name.values()]


def _news(view: TaskView) -> float:
    return view.events[-1].at if view.events else 0.0


def _place(order: dict[str, int], name: str | None) -> int:
    return order.get(str(name), len(order))


def _nearest(tiers: Iterable[str | None]) -> str | None:
    return min(tiers, key=lambda tier: (_place(_TIERS, tier), tier is None), default=None)


def _elsewhere(views: Sequence[TaskView]) -> str | None:
    """Why some replicas do not answer a task that others do."""
    unable = [view for view in views if view.state in _UNABLE and view.reason]
    if not unable:
        return None
    return _partly(len(unable), len(views), unable[0].state, str(unable[0].reason))


def _partly(num: int, num_all: int, state: str, reason: str) -> str:
    return f"On {num} of {num_all} replicas it is {state}: {reason}"


def _same(
    version: VersionView, at: int, own: TaskView, views: Sequence[TaskView]
) -> list[VersionView]:
    """The same version as the other replicas see it; where its files are unread, it has no id."""
    from_end = at - len(own.versions)
    found = []
    for view in views:
        if view is own:
            continue
        match = next((each for each in view.versions if each.id and each.id == version.id), None)
        if match is None and -from_end <= len(view.versions):
            across = view.versions[from_end]
            is_same = (across.adapter, across.head) == (version.adapter, version.head)
            match = across if is_same and None in (across.id, version.id) else None
        if match is not None:
            found.append(match)
    return found


def _merge_version(ones: Sequence[VersionView], num_replicas: int) -> VersionView:
    best = min(ones, key=lambda one: _place(_STATES, one.state))
    unable = [one for one in ones if one.state in _UNABLE and one.reasons]
    told = None
    if best.state not in _UNABLE and unable:
        why = " ".join(note.message for note in unable[0].reasons)
        told = _partly(len(unable), num_replicas, unable[0].state, why)
    return replace(
        best,
        residency=_nearest(one.residency for one in ones),
        reasons=best.reasons,
        last_error=best.last_error or told or _first(ones, lambda one: one.last_error),
        in_flight=sum(one.in_flight for one in ones),
        traffic=_merge_traffic([one.traffic for one in ones]),
    )


def _merge_traffic(ones: Sequence[TrafficView]) -> TrafficView:
    """Counts add up; latencies are those of the mean and of the slowest replica."""
    timed = [one for one in ones if one.p50_s is not None]
    requests = sum(one.requests for one in timed)
    mean_s = (
        sum((one.p50_s or 0.0) * one.requests for one in timed) / requests if requests else None
    )
    return TrafficView(
        requests=sum(one.requests for one in ones),
        errors=sum(one.errors for one in ones),
        p50_s=mean_s,
        p95_s=max((one.p95_s for one in ones if one.p95_s is not None), default=None),
        compared=sum(one.compared for one in ones),
        disagreed=sum(one.disagreed for one in ones),
    )


def _events(views: Sequence[TaskView]) -> tuple[Event, ...]:
    told = dict.fromkeys(event for view in views for event in view.events)
    return tuple(sorted(told, key=lambda event: event.at))[-_MOST_EVENTS:]


def _first(items: Sequence[Item], pick: Callable[[Item], str | None]) -> str | None:
    return next((found for item in items if (found := pick(item))), None)
