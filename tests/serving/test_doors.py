"""Whoever stands in the queue when the port closes is still answered."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from contextlib import ExitStack
from typing import Any

import pytest

from serving.listeners import listen
from serving.serve import GracefulServer, uvicorn_config
from serving.settings import Settings
from tests.serving.conftest import Server

_REQUEST = b"GET /health/live HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere newcomers cannot be kept out")
def test_a_busy_loop_lets_in_who_waits(server: Server) -> None:
    """It may accept one connection a round, and a round may take long under load."""
    answers: list[bytes] = []

    async def main() -> None:
        settings = Settings(drain_notice_s=0)
        with ExitStack() as stack:
            listener = stack.enter_context(listen("127.0.0.1", 0))
            config = uvicorn_config(server.app, settings, server.recorder)
            graceful = GracefulServer(config, server.service, settings, _silent)
            config.load()
            graceful.lifespan = config.lifespan_class(config)
            await graceful.startup([listener])
            guests = [stack.enter_context(_connected(listener)) for _ in range(60)]
            asyncio.get_running_loop().call_soon(_drag, time.monotonic() + 0.3)
            await graceful.shutdown([listener])
            answers.extend(guest.recv(100) for guest in guests)

    _run(main())
    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 200"] * 60


def _run(main: Any) -> None:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def _connected(listener: socket.socket) -> socket.socket:
    guest = socket.create_connection(listener.getsockname(), timeout=30)
    guest.sendall(_REQUEST)
    return guest


async def _silent() -> None:
    pass


def _drag(until_s: float) -> None:
    """Make each round of the loop long."""
    time.sleep(0.005)
    if time.monotonic() < until_s:
        asyncio.get_running_loop().call_soon(_drag, until_s)
