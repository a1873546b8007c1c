"""The way of one short request at rest, from socket to socket: microseconds of every step.

    python -m benchmarks.request_way [--dtype float32] [--rounds 300]

The server runs in this process, its own functions noting when they are entered; the client is a
process of its own, which rests before each request. Noting costs some microseconds itself.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import orjson

from adapter_runtime.backbone.backbone import Backbone
from adapter_runtime.engine.answering import Answering
from adapter_runtime.engine.engine import LocalEngine
from adapter_runtime.engine.forward import BatchRunner
from benchmarks.http_client import request
from benchmarks.questions.at_rest import TEXT
from benchmarks.server import BACKBONE
from serving.connections.protocol import BoundedProtocol
from serving.jobs import Job
from serving.local_service import LocalService
from serving.pipeline import Pipeline
from serving.protocols import hub
from serving.protocols.hub import HubProtocol
from serving.scheduler.loop import BatchLoop
from serving.serve import serve
from serving.settings import load_settings
from serving.workers import Deliveries
from serving.writing import OneWrite

Noted = list[tuple[str, float]]
POINTS: Sequence[tuple[Any, str, str]] = (
    (BoundedProtocol, "data_received", "client writes, kernel, event loop wakes"),
    (HubProtocol, "predict", "HTTP parsed, task of the event loop"),
    (LocalService, "answer", "body read, JSON, Call"),
    (Pipeline, "answer", "version, permit, Job"),
    (LocalEngine, "encode", "a worker wakes"),
    (BatchLoop, "submit", "tokenised, Entry"),
    (LocalEngine, "run", "queued, a lane wakes, batch picked"),
    (BatchRunner, "run", "weights pinned, rows checked"),
    (Backbone, "forward", "packed, routed"),
    (Answering, "finish", "forward with the adapter"),
    (Pipeline, "_finished", "head, result, outcome settled"),
    (LocalEngine, "decode", "to whoever decodes"),
    (Job, "answer", "decoded"),
    (Deliveries, "_flush", "event loop wakes"),
    (hub, "json_response", "the request's task, metrics"),
    (OneWrite, "_send", "JSON, headers"),
)
"""What notes when it is entered, and what has been done by then since the point before."""
LAST = "written, kernel, client wakes"


def note(owner: Any, name: str, step: str, noted: Noted) -> None:
    """Have a function note each time it is entered."""
    function: Callable[..., Any] = getattr(owner, name)

    @wraps(function)
    def entered(*given: Any, **named: Any) -> Any:
        noted.append((step, time.perf_counter()))
        return function(*given, **named)

    setattr(owner, name, entered)


def ask(port: int, rounds: int, rest_s: float) -> list[tuple[float, float]]:
    """When each request was sent and its answer received."""
    message, times = request("127.0.0.1", "/models/sentiment", {"inputs": TEXT}), []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(rounds + 20):
            time.sleep(rest_s)
            began_s = time.perf_counter()
            connection.sendall(message)
            if b" 200 " not in connection.recv(1 << 16)[:16]:
                raise SystemExit("The server gave no answer.")
            times.append((began_s, time.perf_counter()))
    return times[20:]


def steps(noted: Noted, began_s: float, ended_s: float) -> dict[str, float]:
    """Microseconds of each step of one request; a point that it passed twice counts once."""
    found, last_s = {}, began_s
    for step, at_s in sorted(noted, key=lambda each: each[1]):
        if began_s <= at_s <= ended_s and step not in found:
            found[step], last_s = 1e6 * (at_s - last_s), at_s
    return {**found, LAST: 1e6 * (ended_s - last_s), "all": 1e6 * (ended_s - began_s)}


def show(noted: Noted, times: Sequence[tuple[float, float]]) -> None:
    """Print the median and the lower quartile of every step."""
    rounds = [steps([at for at in noted if a <= at[1] <= b], a, b) for a, b in times]
    for step in (*(step for _, _, step in POINTS), LAST, "all"):
        taken = [each[step] for each in rounds if step in each]
        low, median, _ = statistics.quantiles(taken, n=4)
        print(f"{step:<42}{median:>8.0f}{low:>8.0f}")


def client(port: int, options: argparse.Namespace) -> None:
    """Wait for the server, ask it from another process, and tell it to stop."""
    until_s = time.monotonic() + 120.0
    while time.monotonic() < until_s:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.1)
    command = [sys.executable, "-m", "benchmarks.request_way", "--asks", str(port)]
    command += ["--rounds", str(options.rounds), "--rest-s", str(options.rest_s)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    options.times = orjson.loads(done.stdout or b"[]")
    os.kill(os.getpid(), signal.SIGINT)


def main() -> None:
    """Serve, ask and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--rest-s", type=float, default=0.02, help="before each request")
    parser.add_argument("--asks", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.asks:
        print(json.dumps(ask(options.asks, options.rounds, options.rest_s)))
        return
    noted: Noted = []
    for owner, name, step in POINTS:
        note(owner, name, step, noted)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    threading.Thread(target=client, args=(port, options), daemon=True).start()
    with tempfile.TemporaryDirectory() as place:
        os.environ["POLYHEAD_STATE_DIR"] = place
        given = {"tasks": "examples/tasks.yaml", "backbone": BACKBONE}
        serve(load_settings(**given, dtype=options.dtype, port=port))
    show(noted, options.times)


if __name__ == "__main__":
    main()
