"""A real server on loopback, and how many requests a second it answers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from itertools import cycle
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import orjson

from serving.planning.figures import HttpFigures
from serving.planning.resident import processor_s, resident_bytes
from serving.settings import PREFIX, Settings

CONNECTIONS = 32
_START_S = 90.0
_STOP_S = 10.0
_PATIENCE_S = 30.0
_POOL = 256
_DOORS = {name for name in Settings.model_fields if name.startswith(("ssl_", "admin_"))} | {"keys"}
"""Settings of who may come in, and how: here that is this process alone."""


class NoServer(Exception):
    """The server did not start, or did not answer."""


class Inputs(Protocol):
    """What a task is asked."""

    @property
    def task(self) -> str:
        """Its name."""
        ...

    def input(self) -> Any:
        """One more input."""
        ...


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens."""

    address: str
    pid: int


def measure_http(
    settings: Settings, texts: Sequence[Inputs], tokens: float, seconds: float
) -> HttpFigures:
    """Start a server with these settings, ask it without a pause, and stop it. Blocks.

    Args:
        texts: inputs of the tasks to ask.
        seconds: for asking, at least 1; starting takes longer.

    Raises:
        NoServer: it did not start, or did not answer.
    """
    calls = [_call(texts[number % len(texts)]) for number in range(max(_POOL, len(texts)))]
    with _server(settings) as server:
        _ask_all(server, calls[: len(texts)])
        _load(server, calls, min(1.0, seconds))
        before_s = processor_s(server.pid)
        count, took_s = _load(server, calls, seconds)
        after_s = processor_s(server.pid)
        loaded_bytes = resident_bytes(server.pid)
    if not count:
        raise NoServer("it answered nothing in the time given")
    ran_s = None if before_s is None or after_s is None else after_s - before_s
    return HttpFigures(
        connections=CONNECTIONS,
        tasks=len(texts),
        tokens=tokens,
        requests_per_s=count / took_s,
        processor_s=ran_s / count if ran_s else None,
        loaded_bytes=loaded_bytes,
    )


Called = tuple[str, bytes]


def _call(texts: Inputs) -> Called:
    path = f"/models/{quote(texts.task, safe='')}"
    return path, orjson.dumps({"inputs": texts.input()})


@contextmanager
def _server(settings: Settings) -> Iterator[Running]:
    command = [sys.executable, "-m", "serving.cli", "serve"]
    with (
        tempfile.TemporaryDirectory() as state,
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603 - our own command
            command, stdout=subprocess.PIPE, stderr=errors, env=environment(settings, state)
        ) as process,
    ):
        try:
            yield Running(_address(process), process.pid)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def environment(settings: Settings, state: str) -> Mapping[str, str]:
    """The environment of a server with these settings, on a free port of loopback."""
    found = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
    own: dict[str, Any] = settings.model_dump(exclude_none=True, exclude=_DOORS)
    own |= {"host": "127.0.0.1", "port": 0, "engine": "local", "state_dir": state}
    own |= {"strict": False, "warm_tasks": 0, "drain_notice_s": 0.0, "log_level": "ERROR"}
    own["allowed_sources"] = ",".join(settings.allowed_sources)
    return found | {PREFIX + name.upper(): str(value) for name, value in own.items()}


def _address(process: subprocess.Popen[bytes]) -> str:
    """Where the server listens, from the first line that it prints."""
    stop = threading.Timer(_START_S, process.kill)
    stop.start()
    try:
        assert process.stdout is not None
        found = re.search(rb"http://\S+", process.stdout.readline())
    finally:
        stop.cancel()
    if found is None:
        raise NoServer("it did not start")
    return urlsplit(found[0].decode()).netloc


def _ask_all(server: Running, calls: Sequence[Called]) -> None:
    """Each task once: what is measured afterwards loads nothing."""
    connection = HTTPConnection(server.address, timeout=_PATIENCE_S)
    try:
        for call in calls:
            _ask(connection, call)
    finally:
        connection.close()


def _ask(connection: HTTPConnection, call: Called) -> None:
    try:
        connection.request("POST", call[0], call[1])
        response = connection.getresponse()
        content = response.read()
    except (HTTPException, OSError) as error:
        raise NoServer(f"{call[0]}: {error}") from error
    if response.status != 200:
        raise NoServer(f"{call[0]} answered {response.status}: {content[:200]!r}")


def _load(server: Running, calls: Sequence[Called], seconds: float) -> tuple[int, float]:
    """Requests answered to clients that ask without a pause, and how long that took."""
    began_s = time.perf_counter()

    def client(number: int) -> int:
        connection = HTTPConnection(server.address, timeout=_PATIENCE_S)
        start = number * len(calls) // CONNECTIONS
        try:
            for count, call in enumerate(cycle([*calls[start:], *calls[:start]])):
                if time.perf_counter() - began_s >= seconds:
                    return count
                _ask(connection, call)
        finally:
            connection.close()
        return 0

    with ThreadPoolExecutor(CONNECTIONS, "client") as threads:
        count = sum(threads.map(client, range(CONNECTIONS)))
    return count, time.perf_counter() - began_s
