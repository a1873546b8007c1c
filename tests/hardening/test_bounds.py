"""Pace, last words, and room for connections, each alone."""

from __future__ import annotations

import resource
from collections.abc import Sequence

import orjson
import pytest

from serving.connections.bounds import Bounds, bounds_of
from serving.connections.drops import Drop, Pace, last_words
from serving.settings import load_settings

TEN = Bounds(transfer_s=10.0, bytes_per_s=100.0)


@pytest.mark.parametrize(
    ("seen", "verdicts"),
    (
        (((0, 0), (9, 0), (10, 0)), (False, False, True)),
        (((0, 0), (10, 999)), (False, True)),
        (((0, 0), (10, 1000), (19, 1000), (20, 1000)), (False, False, False, True)),
        (((0, 500), (20, 2000)), (False, True)),
        (((0, 500), (20, 2500)), (False, False)),
    ),
)
def test_pace_is_measured_over_whole_windows(
    seen: Sequence[tuple[float, int]], verdicts: Sequence[bool]
) -> None:
    """Times and bytes until then; what came in one window does not count in the next."""
    pace = Pace(TEN)
    assert [pace.is_slow(*each) for each in seen] == list(verdicts)


def test_pace_begins_anew_after_a_pause() -> None:
    """While the server itself is the slow one, nothing is held against the client."""
    pace = Pace(TEN)
    assert not pace.is_slow(0, 0)
    pace.stop()
    assert [pace.is_slow(now_s, 0) for now_s in (11, 20, 21)] == [False, False, True]


@pytest.mark.parametrize("reason", Drop)
def test_last_words_are_whole_answers_in_our_shape(reason: Drop) -> None:
    """Where there is somebody to read them."""
    words = last_words(reason)
    if reason in (Drop.SLOW_READER, Drop.UNWANTED_BODY, Drop.PIPELINED):
        assert words == b""
        return
    head, _, body = words.partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head
    assert b"connection: close" in head
    assert (b"retry-after: 1" in head) == (b" 503 " in head)
    assert set(orjson.loads(body)) == {"error", "code", "request_id"}


@pytest.mark.parametrize(
    ("limits", "room", "raised"),
    (
        ((1 << 20, 1 << 20), 4096, 1 << 20),
        ((1024, 1 << 20), 4096, 4352),
        ((1024, 1024), 768, 1024),
        ((64, 64), 16, 64),
        ((1024, resource.RLIM_INFINITY), 4096, 4352),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 4096, resource.RLIM_INFINITY),
    ),
)
def test_connections_leave_files_for_the_rest_of_the_process(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], room: int, raised: int
) -> None:
    """The system's limit is raised as far as it goes; the bound is what it then allows."""
    now = list(limits)
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(now))
    monkeypatch.setattr(resource, "setrlimit", lambda _, given: now.__setitem__(0, given[0]))
    assert bounds_of(load_settings()).connections == room
    assert now[0] == raised
