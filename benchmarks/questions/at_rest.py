"""One short request at rest: HTTP against the bare single-row forward in this process.

    python -m benchmarks.questions.at_rest [--dtypes float32 bfloat16] [--rounds 150]

Every round has a pause before each contender, so that each begins on an idle machine: the bare
forward of the same row with one thread and with two, the engine in this process (encode, run,
decode), and the server over a connection that stays open. The target holds what HTTP and the task's
adapter and head add over the faster of the two bare forwards.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import torch

from adapter_runtime.backbone.routing import Layout, Routing
from adapter_runtime.engine.pack import Job, lay_out, share_rows
from benchmarks.engine_alone import opened_tasks, run_batch
from benchmarks.http_client import request
from benchmarks.results import Result, Target, arguments, finish, machine_facts, spread
from benchmarks.server import Server, serving
from serving.opening import Opened

TEXT = "A warm, funny and beautifully acted film."
TASKS = ("sentiment", "embed")
REACH_MS = 2.0
Contender = Callable[[], object]
Times = dict[str, list[float]]


class Asking:
    """One connection that stays open, as plain as it can be."""

    def __init__(self, server: Server, task: str) -> None:
        place = urlsplit(server.url)
        self.message = request(place.hostname or "", f"/models/{task}", {"inputs": TEXT})
        self.socket = socket.create_connection((place.hostname, place.port or 80))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self) -> None:
        """One request and its whole answer.

        Raises:
            SystemExit: the answer was no answer.
        """
        self.socket.sendall(self.message)
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0 or len(data) < end + 4 + length(data[:end]):
            data += self.socket.recv(1 << 16)
        if b" 200 " not in data[:16]:
            raise SystemExit(f"The server answered {data!r}")


def length(head: bytes) -> int:
    """The length of a body that an answer's head states."""
    lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    return int(lines[b"content-length"])


def bare_forward(opened: Opened, task: str, num_threads: int) -> Contender:
    """The backbone's forward of the row alone, on this thread."""
    version = opened.at_once.resolve(task)
    (row,) = opened.engine.encode(version, TEXT, {}).rows
    rows = share_rows([Job(row, None)], True)
    spans = lay_out(rows, Layout.PACKED)
    backbone = opened.engine.backbone  # type: ignore[attr-defined]

    @torch.inference_mode()
    def forward() -> object:
        torch.set_num_threads(num_threads)
        return backbone.forward([row], Routing(Layout.PACKED, spans, {}))

    return forward


def timed(contenders: Mapping[str, Contender], rounds: int, rest_s: float) -> Times:
    """Milliseconds of each contender in each round, the order turning, after a rest each time."""
    found: Times = {name: [] for name in contenders}
    names = list(contenders)
    for turn in range(rounds + 5):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            time.sleep(rest_s)
            began_s = time.perf_counter()
            contenders[name]()
            if turn >= 5:
                found[name].append(1000 * (time.perf_counter() - began_s))
    return found


def measure(dtype: str, options: argparse.Namespace, state: Path) -> Times:
    """All contenders of one dtype."""
    with (
        serving(Path(options.tasks), state, dtype=dtype) as server,
        opened_tasks(options.tasks, dtype) as opened,
    ):
        contenders: dict[str, Contender] = {
            f"bare_forward_{number}_threads": bare_forward(opened, TASKS[0], number)
            for number in (1, 2)
        }
        for task in TASKS:
            contenders[f"engine_{task}"] = lambda task=task: run_batch(opened, [(task, TEXT)], 1)
            contenders[f"http_{task}"] = Asking(server, task).ask
        return timed(contenders, options.rounds, options.rest_s)


def result(found: Mapping[str, Times], options: argparse.Namespace) -> Result:
    """Medians, differences and targets of all dtypes."""
    contenders, targets = {}, []
    for dtype, times in found.items():
        contenders |= {f"{dtype}, {name}": spread(taken) for name, taken in times.items()}
        medians = {name: statistics.median(taken) for name, taken in times.items()}
        bare = min(taken for name, taken in medians.items() if name.startswith("bare"))
        for task in TASKS:
            measure = f"one short request at rest, over the bare forward: {dtype}, {task}"
            targets.append(Target(measure, REACH_MS, medians[f"http_{task}"] - bare, True, "ms"))
    note = f"A rest of {options.rest_s * 1000:.0f} ms before each; the text is “{TEXT}”"
    return Result("at_rest", options.rounds, contenders, targets=targets, notes=[note])


def main() -> None:
    """Measure, print and write."""
    parser = arguments(__doc__, rounds=150)
    parser.add_argument("--tasks", default="examples/tasks.yaml")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--rest-s", type=float, default=0.02, help="before each request")
    options = parser.parse_args()
    machine = machine_facts()
    with tempfile.TemporaryDirectory() as place:
        found = {dtype: measure(dtype, options, Path(place) / dtype) for dtype in options.dtypes}
    finish(result(found, options), machine, options.output)


if __name__ == "__main__":
    main()
