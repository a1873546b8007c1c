"""One view of a task from those of several replicas."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapter_runtime import Note
from deploy.ray_serve.merging import merge, merge_all
from serving.views import Event, TaskView, TrafficView, VersionView

GONE = Note("gone", "The share is away.")
READY = VersionView(
    "ready",
    id="1",
    residency="host",
    in_flight=2,
    adapter="/a",
    traffic=TrafficView(3, 1, 0.1, 0.2),
)
UNREAD = VersionView("pending", adapter="/a")
REFUSED = VersionView("rejected", id="1", reasons=(GONE,), adapter="/a")


def view(version: VersionView, at: float = 1.0, etag: str = "e1") -> TaskView:
    """A replica's view of a task with one version."""
    reason = " ".join(note.message for note in version.reasons) or None
    return TaskView(
        "topic",
        version.state,
        version=version.id,
        residency=version.residency,
        reason=reason,
        etag=etag,
        versions=(version,),
        events=(Event(at, version.state, version.id),),
    )


@pytest.mark.parametrize(
    ("versions", "state", "reason"),
    (
        ((READY, READY), "ready", None),
        ((UNREAD, READY), "ready", None),
        ((REFUSED, READY), "ready", "On 1 of 2 replicas it is rejected: The share is away."),
        ((UNREAD, REFUSED), "pending", "On 1 of 2 replicas it is rejected: The share is away."),
        ((REFUSED, REFUSED), "rejected", "The share is away."),
    ),
)
def test_the_best_state_is_shown_and_no_reason_lost(
    versions: tuple[VersionView, ...], state: str, reason: str | None
) -> None:
    """A task is ready where it answers somewhere; why it does not elsewhere stands beside it."""
    for order in (versions, versions[::-1]):
        merged = merge([view(each) for each in order])
        assert (merged.state, merged.reason) == (state, reason)
        assert merged.versions[0].state == state
        told = f"{merged.versions[0].reasons} {merged.versions[0].last_error}"
        assert ("The share is away." in told) is (reason is not None)


def test_what_versions_did_adds_up() -> None:
    """Requests and those in flight are summed, the nearest residency is shown."""
    near = replace(READY, residency="device", traffic=TrafficView(1, 0, 0.5, 0.9))
    merged = merge([view(READY), view(near)])
    version = merged.versions[0]
    assert (merged.residency, version.residency, version.in_flight) == ("device", "device", 4)
    assert version.traffic == TrafficView(4, 1, pytest.approx(0.2), 0.9)


def test_a_version_without_id_is_the_one_in_its_place() -> None:
    """Where a replica has not read the files, their digest is unknown."""
    two = replace(UNREAD, adapter="/b")
    here = replace(view(READY), versions=(READY, replace(READY, id="2", adapter="/b")))
    there = replace(view(UNREAD), versions=(UNREAD, replace(two, in_flight=5)))
    merged = merge([here, there])
    assert [each.id for each in merged.versions] == ["1", "2"]
    assert [each.in_flight for each in merged.versions] == [2, 7]


def test_the_latest_news_count() -> None:
    """A replica that has not seen the last change does not hide it."""
    old, new = view(READY, at=1.0, etag="e1"), view(UNREAD, at=2.0, etag="e2")
    for order in ([old, new], [new, old]):
        merged = merge(order)
        assert (merged.etag, merged.state) == ("e2", "pending")
        assert [event.at for event in merged.events] == [1.0, 2.0]


def test_lists_are_joined_by_name() -> None:
    """A task that only one replica knows is shown too."""
    other = replace(view(READY), name="other")
    merged = merge_all([[view(UNREAD), other], [view(READY)]])
    assert [(each.name, each.state) for each in merged] == [("topic", "ready"), ("other", "ready")]
