"""Small batches on a CUDA device: what the host takes to ask for, and what the device to do it.

    python -m benchmarks.cuda_launches [--rounds 30]

Where the host takes longer, the device waits for it. Each batch is measured both ways, launched
kernel by kernel and recorded as a CUDA graph; larger ones than are recorded run the first way
twice. Bare backbone, all-MiniLM-L6-v2 in bfloat16; needs the extras `demo` and `bench`, and a
CUDA device.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

import torch

from adapter_runtime.backbone.load import load_backbone
from adapter_runtime.engine.forward import BatchRunner, Job
from adapter_runtime.engine.states import StreamStates
from adapter_runtime.methods.table import METHODS
from adapter_runtime.residency.slots import SlotPool
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Row
from benchmarks.rows import MINILM, ORDINARY, make_rows

SIZES = (1, 2, 4, 8, 16, 32)
WARM_UPS = 12  # more than it takes until a size is recorded
AHEAD = 8192  # a product of this width keeps the device busy while the host runs ahead


class Times(NamedTuple):
    """Milliseconds of one batch."""

    host: float
    device: float


def measured(run: Callable[[], object], ahead: torch.Tensor) -> Times:
    """One run behind work that is long enough for the device never to wait for the host."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    for _ in range(4):
        torch.mm(ahead, ahead)
    start.record()
    began = time.perf_counter()
    run()
    host_s = time.perf_counter() - began
    end.record()
    torch.cuda.synchronize()
    return Times(1000 * host_s, start.elapsed_time(end))


def medians(
    runners: Sequence[BatchRunner], batch: Sequence[Job], rounds: int, ahead: torch.Tensor
) -> list[Times]:
    """Each runner's times of a batch that it has seen often enough, the runners in turn."""
    for runner in runners:
        for _ in range(WARM_UPS):
            runner.run(batch, leave)
    found: list[list[Times]] = [[] for _ in runners]
    for _ in range(rounds):
        for runner, times in zip(runners, found, strict=True):
            times.append(measured(partial(runner.run, batch, leave), ahead))
    return [Times(*map(statistics.median, zip(*times, strict=True))) for times in found]


def leave(_indices: Sequence[int], _states: StreamStates) -> None:
    """Answers stay on the device: to fetch them would be to wait for them."""


def main() -> None:
    """Measure every size, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    if not torch.cuda.is_available():
        print("no CUDA device: nothing was measured")
        return
    device = torch.device("cuda", torch.cuda.current_device())
    backbone = load_backbone(Folder(MINILM, "all-MiniLM-L6-v2"), device, torch.bfloat16)
    slots = SlotPool(METHODS, backbone.bases, backbone.device, backbone.dtype)
    runners = [BatchRunner(backbone, slots, cuda_graphs=each) for each in (False, True)]
    jobs = [Job(Row(tuple(row)), None) for row in make_rows(ORDINARY)]
    ahead = torch.randn(AHEAD, AHEAD, device=device)
    print(f"{torch.cuda.get_device_name(device)}, milliseconds, medians of {rounds}")
    print(f"{'':>13} {'launched':>17} {'recorded':>17}")
    print(f"{'rows':>5} {'tokens':>7}" + f" {'host':>8} {'device':>8}" * 2)
    for size in SIZES:
        batch = list(islice(jobs, size))
        times = medians(runners, batch, rounds, ahead)
        tokens = sum(len(job.row.input_ids) for job in batch)
        columns = "".join(f" {each.host:>8.2f} {each.device:>8.2f}" for each in times)
        print(f"{size:>5} {tokens:>7}{columns}")


if __name__ == "__main__":
    main()
