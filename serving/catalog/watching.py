"""Notices changes: by the kernel's word where it gives it, by looking everywhere else.

Watching fails silently on network file systems, bind mounts and where a link above the files is
turned (as Kubernetes does with its `..data`): looking is what counts, watching makes it quick.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from serving.catalog.stamps import stamp_of

log = logging.getLogger(__name__)
logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it tells every change otherwise

_TICK_S = 0.25
_SETTLE_S = 0.1
_MAX_SETTLES = 20
_STEP_MS = 50

Look = Callable[[], object]
"""Anything that is equal while nothing changes; must not raise."""


def watch_folder(
    folder: Path,
    look: Look,
    is_ours: Callable[[str], bool],
    stop: threading.Event,
    poll_s: float,
) -> Iterator[None]:
    """Yields at first and whenever something may have changed, until stopped. Blocks.

    Args:
        folder: what the kernel is asked to watch; may be gone, and may come back.
        look: see `Look`.
        is_ours: whether a file of this name matters, whatever `look` says of it.
        stop: ends it within a fraction of a second.
        poll_s: seconds between looks.
    """
    last = look()
    yield
    while not stop.is_set():
        watched, due_s = _identity(folder), 0.0
        for names in _ticks(folder, stop, min(_TICK_S, poll_s)):
            if names or time.monotonic() >= due_s:
                now = look()
                if now != last:
                    now = _settled(now, look, stop)
                if now != last or any(map(is_ours, names)):
                    last = now
                    yield
                due_s = time.monotonic() + poll_s
            if _identity(folder) != watched:
                break


def poll(look: Look, stop: threading.Event, poll_s: float) -> Iterator[None]:
    """Likewise where nobody can be asked to watch. Blocks."""
    last = look()
    yield
    while not stop.wait(poll_s):
        now = look()
        if now != last:
            last = now
            yield


def _settled(now: object, look: Look, stop: threading.Event) -> object:
    """What it looks like once it stays so: a file may be half written."""
    for _ in range(_MAX_SETTLES):
        if stop.wait(_SETTLE_S):
            break
        before, now = now, look()
        if now == before:
            break
    return now


def _ticks(folder: Path, stop: threading.Event, tick_s: float) -> Iterator[set[str]]:
    """Names of changed files at once, and no names now and then; endless but for `stop`."""
    try:
        yield from _told(folder, stop, tick_s)
    except Exception as error:
        # No such folder, no watches left, a file system without them: then only looks count.
        log.debug("%s is looked at, not watched: %s", folder, error)
    while not stop.wait(tick_s):
        yield set()


def _told(folder: Path, stop: threading.Event, tick_s: float) -> Iterator[set[str]]:
    from watchfiles import watch  # loaded only where a server runs

    changes = watch(
        folder,
        watch_filter=None,
        step=_STEP_MS,
        stop_event=stop,
        rust_timeout=max(1, int(tick_s * 1000)),
        yield_on_timeout=True,
        raise_interrupt=False,
        recursive=False,
    )
    for each in changes:
        yield {Path(path).name for _, path in each}


def _identity(folder: Path) -> tuple[int, int] | None:
    stamp = stamp_of(folder)
    return (stamp.device, stamp.inode) if stamp else None
