"""`polyhead serve`: one process, one port, a graceful end."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from serving.admission.keys import read_keys
from serving.app import create_app
from serving.banner import banner, warn_of_absence
from serving.connections.bounds import bounds_of
from serving.connections.greeting import Greeting
from serving.connections.protocol import BoundedProtocol
from serving.connections.register import Connections
from serving.doors import has_queue, refuse_newcomers
from serving.grpc_port import Door, check_grpc, grpc_door
from serving.hot_service import HotService
from serving.listeners import BACKLOG, listen_all, shown_host, url_of
from serving.logs import set_up_logs
from serving.metrics import PrometheusRecorder, Recorder
from serving.observing import Observer
from serving.opening import Opened, Opener, open_backbone, open_catalog, open_tasks
from serving.service import Service
from serving.settings import Settings
from serving.tls import tls_context
from serving.tracing.opening import wants_traces

log = logging.getLogger(__name__)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_QUEUE_S = 0.05
_GUESTS_S = 0.5
_QUEUED_S = 10.0
_SILENT_GUESTS_S = 3.0
_SWITCH_S = 0.0002


def serve(settings: Settings, opener: Opener = open_backbone) -> None:
    """Serve until told to stop. Blocks.

    Raises:
        PolyheadError: nothing could start; the message is one line.
    """
    set_up_logs(settings.log_format, settings.log_level)
    wants_traces(settings)  # said before anything slow
    tls_context(settings)  # likewise
    if settings.keys is not None:
        read_keys(Path(settings.keys))  # likewise
    elif settings.host not in _LOOPBACK:
        log.warning("No keys: whoever reaches %s may change tasks; see --keys.", settings.host)
    # A forward needs the interpreter's lock for an instant between two products; at the default
    # of 5 ms it would wait out whole bursts of request handling, with its core idle.
    sys.setswitchinterval(_SWITCH_S)
    catalog = open_catalog(settings)
    with listen_all(settings) as listeners:
        check_grpc(settings)
        opened = open_tasks(settings, catalog, opener)
        try:
            serve_on(listeners, opened, settings)
        finally:
            opened.engine.close()


def serve_on(listeners: Sequence[socket.socket], opened: Opened, settings: Settings) -> None:
    """Serve tasks on bound sockets until told to stop. Blocks.

    Args:
        listeners: as of `listen_all`.
        opened: the tasks and what computes them.
        settings: of the server.
    """
    recorder = PrometheusRecorder(settings.max_task_labels)
    service = HotService(opened, settings, recorder)
    service.outline(settings.load_threads)
    engine = opened.engine
    admin_port = listeners[1].getsockname()[1] if listeners[1:] else None
    app = create_app(service, settings, recorder, asdict(engine.info), admin_port=admin_port)
    # What is loaded now stays: the collector need not walk it again beside every request.
    gc.collect()
    gc.freeze()
    scheme = "http" if settings.ssl_certfile is None else "https"
    url, *others = (url_of(each, scheme) for each in listeners)
    door = grpc_door(app, settings)

    async def say() -> None:
        wants_key = settings.keys is not None
        place = None if door is None else f"{shown_host(settings.host)}:{door.port}"
        tasks = await service.tasks()
        said = banner(tasks, engine.info, url, *others, wants_key=wants_key, grpc=place)
        if settings.default_task is not None:
            await warn_of_absence(service, settings.default_task)
        print(said, flush=True)  # noqa: T201 - our output

    config = uvicorn_config(app, settings, recorder)
    GracefulServer(config, service, settings, say, door).run(sockets=[*listeners])


def uvicorn_config(app: ASGIApp, settings: Settings, recorder: Recorder) -> uvicorn.Config:
    """The server loop's settings; logging is ours."""
    seen = Observer(recorder)
    connections = Connections(bounds_of(settings), seen.connection_dropped, seen.connected)
    protocol: Any = partial(BoundedProtocol, connections)  # uvicorn only calls it
    context = tls_context(settings)
    if context is not None:
        protocol = partial(Greeting, connections, context, protocol)
    return uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        http=protocol,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        backlog=BACKLOG,
        timeout_keep_alive=max(1, round(settings.keep_alive_s)),
        timeout_graceful_shutdown=max(1, round(settings.drain_timeout_s)),
    )


class GracefulServer(uvicorn.Server):
    """Told to stop, it refuses new requests with 503 for a while, finishes the old, then leaves.

    uvicorn alone would close the port at once, and new clients would see a refused connection
    before their load balancer has heard that this server is not ready any more.

    Args:
        config: uvicorn's.
        service: is drained.
        settings: how long to wait.
        on_ready: called once the port answers.
        door: another server that starts and stops with this one.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        service: Service,
        settings: Settings,
        on_ready: Callable[[], Awaitable[None]],
        door: Door | None = None,
    ) -> None:
        super().__init__(config)
        self._service = service
        self._settings = settings
        self._on_ready = on_ready
        self._door = door
        self._told_s: float | None = None
        self._notice_s = settings.drain_notice_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        if self._door is not None and self.started:
            await self._door.start()
        await self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, the second one leaves at once."""
        if self._told_s is not None:
            self.should_exit = self.force_exit = True
            return
        self._told_s = time.monotonic()
        if sig == signal.SIGINT:
            self._notice_s = 0.0  # somebody sits at the terminal and waits
        self._service.drain()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, let who has just come in be answered, then end the connections."""
        if self._told_s is not None:
            left_s = self._settings.drain_timeout_s - (time.monotonic() - self._told_s)
            self.config.timeout_graceful_shutdown = max(1, round(left_s))
        if not self.force_exit:
            kept_out = [refuse_newcomers(listener) for listener in sockets or ()]
            await self._let_in(sockets or (), _QUEUED_S if all(kept_out) else _GUESTS_S)
            for server in self.servers:
                server.close()
            await self._wait_for_guests()
        if self._door is not None:
            patience_s = 0 if self.force_exit else self.config.timeout_graceful_shutdown
            await self._door.stop(patience_s or 0)
        await super().shutdown(sockets)

    async def _let_in(self, listeners: Sequence[socket.socket], patience_s: float) -> None:
        """Wait until nobody stands in the queues: who is there when the port closes is reset."""
        await asyncio.sleep(_QUEUE_S)
        until_s = time.monotonic() + patience_s
        while has_queue(listeners) and time.monotonic() < until_s:
            await asyncio.sleep(0)

    async def _wait_for_guests(self) -> None:
        """Wait for connections whose request may still be on its way; idle ones have no more.

        Who was let in and has not asked yet is given longer: its client has not been told to wait.
        """
        began_s = time.monotonic()
        while connections := self.server_state.connections:
            waited_s = time.monotonic() - began_s
            is_awaited = any(getattr(each, "cycle", None) is None for each in connections)
            if waited_s >= (_SILENT_GUESTS_S if is_awaited else _GUESTS_S):
                return
            await asyncio.sleep(_QUEUE_S)

    async def on_tick(self, counter: int) -> bool:
        """Leave when drained: nobody inside and the notice given, or out of patience."""
        if self._told_s is not None:
            waited_s = time.monotonic() - self._told_s
            is_empty = self._service.num_inside == 0 and waited_s >= self._notice_s
            if is_empty or waited_s >= max(self._settings.drain_timeout_s, self._notice_s):
                self.should_exit = True
        return await super().on_tick(counter)
