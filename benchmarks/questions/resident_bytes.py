"""What one more resident task costs in bytes, over the bytes of its own tensors.

    python -m benchmarks.questions.resident_bytes [--first 10] [--last 500]

A process of its own for each kind of adapter admits so many tasks, each with weights of its own,
and looks twice: at the device bytes that the engine counts, and at the resident memory of the
process, which also has what the host keeps, the bookkeeping and what the allocator does not give
back. On a CPU host and device are one memory, and the matrices lie in it once.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from adapter_runtime import EngineConfig, Leaf, TaskSpec, open_engine
from adapter_runtime.memory import give_back
from benchmarks.results import Result, Target, arguments, finish, machine_facts
from benchmarks.server import BACKBONE
from benchmarks.variants import write_variant

REACH = 1.1
SPAM = Path(__file__).parents[2] / "examples" / "adapters" / "spam"


def write_lora(folder: Path, seed: int) -> Path:
    """The demo's rank-8 LoRA with its weights moved a little."""
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(seed)
    name = "adapter_model.safetensors"
    moved = {
        key: value + 0.01 * torch.randn(value.shape, generator=generator)
        for key, value in load_file(SPAM / name).items()
    }
    save_file(moved, folder / name)
    (folder / "adapter_config.json").write_text((SPAM / "adapter_config.json").read_text())
    return folder


WRITERS: dict[str, Callable[[Path, int], Path]] = {
    "lora_8": write_lora,
    "bottleneck_16th": write_variant,
}

WHERE = {
    "device_bytes": "device",
    "host_bytes": "host store",
    "process_bytes": "whole process",
}


def tensor_bytes(folder: Path) -> int:
    """Bytes of all tensors that a task's folder holds."""
    files = [load_file(path) for path in folder.glob("*.safetensors")]
    return sum(value.nbytes for tensors in files for value in tensors.values())


def process_bytes() -> int:
    """Resident memory of this process, once the allocator gave back what it keeps."""
    give_back()
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmRSS:\s+(\d+)", status)[1])  # type: ignore[index]


def admit(writer: str, dtype: str, counts: tuple[int, int], place: Path) -> dict[str, float]:
    """Bytes of each task between the first and the last count, and of its own tensors."""
    engine = open_engine(BACKBONE, EngineConfig(dtype=dtype))
    seen: list[tuple[int, int, int]] = []
    for number in range(counts[1]):
        folder = WRITERS[writer](place / f"v{number}", number)
        engine.prepare(TaskSpec(f"t{number}", Leaf(str(folder))))
        if number + 1 in counts:
            stats = engine.stats()
            assert stats.resident_adapters == number + 1, "a task is not on the device"
            seen.append((stats.resident_bytes, stats.host_bytes, process_bytes()))
    engine.close()
    many = counts[1] - counts[0]
    device, host, process = ((last - first) / many for first, last in zip(*seen, strict=True))
    own = tensor_bytes(place / "v0")
    return {
        "own_tensors_bytes": own,
        "device_bytes": device,
        "host_bytes": host,
        "process_bytes": process,
    }


def measure(writer: str, options: argparse.Namespace) -> dict[str, float]:
    """One kind of adapter in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.questions.resident_bytes", "--only", writer]
    for name in ("dtype", "first", "last"):
        command += [f"--{name}", str(getattr(options, name))]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def result(found: Mapping[str, dict[str, float]], options: argparse.Namespace) -> Result:
    """Bytes, ratios and targets of all kinds."""
    ratios, targets = {}, []
    for writer, figures in found.items():
        own = figures["own_tensors_bytes"]
        for name, words in WHERE.items():
            ratio = figures[name] / own
            ratios[f"{writer}: {words} over own tensors"] = ratio
            if name != "host_bytes":
                targets.append(
                    Target(f"bytes of a resident task, {words}: {writer}", REACH, ratio, True)
                )
    note = (
        f"Tasks {options.first} to {options.last} in {options.dtype}, each with an adapter and a "
        "head of its own. On a CPU host and device share one copy of the matrices."
    )
    return Result("resident_bytes", 1, found, ratios, targets, notes=[note])


def main() -> None:
    """Measure, print and write."""
    parser = arguments(__doc__, rounds=1)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--first", type=int, default=10)
    parser.add_argument("--last", type=int, default=500)
    parser.add_argument("--only", choices=list(WRITERS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        with tempfile.TemporaryDirectory() as place:
            counts = (options.first, options.last)
            print(json.dumps(admit(options.only, options.dtype, counts, Path(place))))
        return
    machine = machine_facts()
    found = {writer: measure(writer, options) for writer in WRITERS}
    finish(result(found, options), machine, options.output)


if __name__ == "__main__":
    main()
