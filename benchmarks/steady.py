"""Clients that go on asking whatever happens to those who answer."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from itertools import count
from urllib.parse import urlsplit

import orjson

from benchmarks.variants import TEXTS

_PATIENCE_S = 60


@dataclass
class Heard:
    """What the clients heard.

    Args:
        statuses: how often each was given; 0 is a connection that broke.
        failures: what was said where it was not 200.
        latencies_s: of what was answered.
        retry_after: what those that were refused were told.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    retry_after: Counter[str] = field(default_factory=Counter)

    @property
    def num_answered(self) -> int:
        """Requests that were answered."""
        return self.statuses[200]

    @property
    def num_lost(self) -> int:
        """Requests that were not, whatever they got instead."""
        return self.statuses.total() - self.num_answered


@contextmanager
def asking(
    urls: Sequence[str],
    tasks: Sequence[str],
    clients: int = 8,
    rest_s: float = 0.0,
    headers: Mapping[str, str] | None = None,
) -> Iterator[Heard]:
    """So many clients that ask for as long as the block lasts.

    Args:
        urls: servers, dealt out to the clients.
        tasks: are asked by turns.
        clients: at once, each on one connection.
        rest_s: seconds between an answer and the client's next request.
        headers: of every request.
    """
    heard, stop, numbers = Heard(), threading.Event(), count()

    def go_on(url: str) -> None:
        connection = _connect(url)
        while not stop.is_set():
            number = next(numbers)
            task = tasks[number % len(tasks)]
            if not _ask(connection, task, TEXTS[number % len(TEXTS)], headers or {}, heard):
                connection.close()
                connection = _connect(url)
            stop.wait(rest_s)
        connection.close()

    threads = [
        threading.Thread(target=go_on, args=(urls[number % len(urls)],))
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield heard
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _connect(url: str) -> HTTPConnection:
    place = urlsplit(url)
    return HTTPConnection(place.hostname or "", place.port, timeout=_PATIENCE_S)


def _ask(
    connection: HTTPConnection, task: str, text: str, headers: Mapping[str, str], heard: Heard
) -> bool:
    """One request; whether the connection may be used again."""
    began_s = time.perf_counter()
    try:
        body = orjson.dumps({"inputs": text})
        connection.request("POST", f"/models/{task}", body, dict(headers))
        response = connection.getresponse()
        content = response.read()
    except (OSError, HTTPException) as error:
        heard.statuses[0] += 1
        heard.failures.append(f"{task}: {error!r}")
        return False
    heard.statuses[response.status] += 1
    if response.status == 200:
        heard.latencies_s.append(time.perf_counter() - began_s)
    else:
        heard.failures.append(f"{task}: {response.status} {content[:300]!r}")
        heard.retry_after[response.getheader("retry-after") or ""] += 1
    return True
