"""Bounds on what a hub may do to us: every wait ends, and no file is longer than announced.

The hub's client waits for ever for some answers and takes whatever is sent. Its session calls the
hooks that are put here; they act only inside `watched`, so that nobody else's requests change.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import httpx2
from huggingface_hub import constants, get_session
from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

from adapter_runtime.errors import SourceError

_PATIENCE = 3
"""Times the client's own timeout without one byte of content before we give up."""
_MIN_PACE = 1024
"""Bytes per second below which a download would take for ever."""
_MAX_ANSWER = 64 << 20
"""Bytes of a listing; a repository of 100,000 files has about 20 MB."""
_MAX_RETRY_AFTER = 30.0


class _Watch:
    """What one fetching may take.

    Args:
        said: the Source, for messages.
        name: what is fetched.
        limit: most bytes of one answer.
    """

    def __init__(self, said: str, name: str, limit: int) -> None:
        self.said = said
        self.name = name
        self.limit = limit
        self.timeout = float(constants.HF_HUB_DOWNLOAD_TIMEOUT)
        self.since = time.monotonic()
        self.has_asked = False
        self.total = 0
        self.of_answer = 0
        self.written = 0

    def check_pace(self) -> None:
        """Raises SourceError where nothing, or next to nothing, arrives."""
        waited = time.monotonic() - self.since
        if waited > _PATIENCE * self.timeout + self.total / _MIN_PACE:
            raise SourceError(
                f"{self.said}: the hub sent {self.total} bytes of {self.name} in "
                f"{waited:.0f} s; check the network, or raise HF_HUB_DOWNLOAD_TIMEOUT (seconds)."
            )

    def count(self, size: int) -> None:
        """Raises SourceError where more arrived than was announced or may be."""
        self.total += size
        self.of_answer += size
        self._hold(self.of_answer)
        self.check_pace()

    def count_written(self, size: int) -> None:
        """As `count`, for what goes to the disk; less than nothing where a file begins anew."""
        self.written += size
        self._hold(self.written)

    def _hold(self, size: int) -> None:
        if size > self.limit:
            raise SourceError(
                f"{self.said}: the hub sends more than the {self.limit} bytes that {self.name} "
                "has by its own listing or may have; cut off."
            )


class _Counted(httpx2.SyncByteStream):
    """A body, cut off where the watch says so."""

    def __init__(self, stream: httpx2.SyncByteStream, watch: _Watch) -> None:
        self._stream = stream
        self._watch = watch

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            self._watch.count(len(chunk))
            yield chunk

    def close(self) -> None:
        self._stream.close()


_current: ContextVar[_Watch | None] = ContextVar("hub_watch", default=None)
_install = threading.Lock()


class WatchedBar(tqdm):
    """A progress bar that counts too.

    After a connection that failed the client makes itself a new session, without our hooks.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        if watch := _current.get():
            watch.written = 0  # A bar is made for each try; one that goes on has the one before.
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]

    def update(self, n: float | None = 1) -> bool | None:
        """Count bytes before they are written."""
        if watch := _current.get():
            watch.count_written(int(n or 0))
        return bool(super().update(n))


@contextmanager
def watched(said: str, name: str, limit: int | None = None) -> Iterator[None]:
    """Hold the hub's client to bounds within the block, on this thread.

    Args:
        said: the Source, for messages.
        name: what is fetched.
        limit: most bytes of one answer; None is the limit for answers that are no files.
    """
    session = get_session()
    with _install:
        for kind, hook in (("request", _on_request), ("response", _on_response)):
            if hook not in session.event_hooks[kind]:
                session.event_hooks[kind].append(hook)
    token = _current.set(_Watch(said, name, _MAX_ANSWER if limit is None else limit))
    try:
        yield
    finally:
        _current.reset(token)


def _on_request(request: httpx2.Request) -> None:
    watch = _current.get()
    if watch is None:
        return
    if request.method == "GET" and not watch.has_asked:
        # Before, it may have waited for another process that fetches the same file.
        watch.has_asked, watch.since = True, time.monotonic()
    watch.check_pace()
    given = request.extensions.get("timeout") or {}
    bounded = {
        part: min(given.get(part) or watch.timeout, watch.timeout)
        for part in ("connect", "read", "write", "pool")
    }
    request.extensions = {**request.extensions, "timeout": bounded}
    request.headers["Accept-Encoding"] = "identity"  # What is counted is what is written.


def _on_response(response: httpx2.Response) -> None:
    watch = _current.get()
    if watch is None or response.request.method != "GET":
        return
    _refuse_long_wait(response, watch)
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise SourceError(
            f"{watch.said}: the hub sends {watch.name} compressed, though it was asked not to; "
            "check HF_ENDPOINT and the proxy."
        )
    watch.of_answer = 0
    if not isinstance(response.stream, _Counted):
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Counted(response.stream, watch)


def _refuse_long_wait(response: httpx2.Response, watch: _Watch) -> None:
    asked = response.headers.get("Retry-After", "")
    if asked.isdigit() and float(asked) > _MAX_RETRY_AFTER:
        raise SourceError(f"{watch.said}: the hub asks to come back in {asked} s; try again then.")
