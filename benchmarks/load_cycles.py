"""Load and evict again and again: memory and file handles must not grow. 24 hours in small.

    python -m benchmarks.load_cycles [--cycles 10000]

In one process. Each cycle does what a server does with a version that comes, answers and goes: half
of them bring back an evicted version that is known, the other half read a new one and retire it.
Memory is the process's own resident size, taken when everything that is kept has its final size.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

from adapter_runtime import EngineConfig, Leaf, TaskSpec, TaskVersion, WorkItem, open_engine
from benchmarks.server import BACKBONE
from benchmarks.variants import write_variants

_NUM_FOLDERS = 24
_SAMPLES = 11
Engine = Any


def memory_mib() -> float:
    """Resident memory of this process, in MiB."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


def num_files() -> int:
    """Open file handles of this process."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the folder itself is a handle


def answer(engine: Engine, version: TaskVersion) -> None:
    """One forward of a version that is held."""
    engine.hold(version)
    try:
        encoded = engine.encode(version, "A warm and funny film.", {})
        outcome = engine.run([WorkItem(version, encoded.rows[0])], lanes=1).outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
    finally:
        engine.release(version)


def come_and_go(engine: Engine, spec: TaskSpec) -> None:
    """A version's whole life."""
    version = engine.read(spec)
    try:
        engine.admit(version)
        answer(engine, version)
    finally:
        engine.retire(version)


def measure(cycles: int, place: Path, config: EngineConfig | None = None) -> dict[str, Any]:
    """All cycles, and memory and handles along the way."""
    engine = open_engine(BACKBONE, config or EngineConfig(device="cpu", dtype="float32"))
    folders = write_variants(place, _NUM_FOLDERS)
    specs = [TaskSpec(each.name, adapter=Leaf(str(each))) for each in folders]
    known = [engine.read(spec) for spec in specs[: _NUM_FOLDERS // 2]]
    for version in known:
        engine.admit(version)
    samples: list[dict[str, Any]] = []
    began_s = time.perf_counter()
    for cycle in range(cycles):
        if cycle % max(1, cycles // (_SAMPLES - 1)) == 0:
            samples.append({"cycle": cycle, "mib": round(memory_mib(), 1), "files": num_files()})
        version = known[cycle // 2 % len(known)]
        if cycle % 2:
            engine.evict(version)
            answer(engine, version)
        else:
            come_and_go(engine, specs[len(known) + cycle // 2 % (len(specs) - len(known))])
    took_s = time.perf_counter() - began_s
    for version in known:
        engine.retire(version)
    stats = engine.stats()
    samples.append({"cycle": cycles, "mib": round(memory_mib(), 1), "files": num_files()})
    engine.close()
    settled = samples[len(samples) // 5]
    return {
        "cycles": cycles,
        "cycles_per_s": round(cycles / took_s, 1),
        "samples": samples,
        "growth_mib_after_the_first_fifth": round(samples[-1]["mib"] - settled["mib"], 1),
        "files_grown": samples[-1]["files"] - settled["files"],
        "left_over": {
            "device_adapters": stats.resident_adapters,
            "device_bytes": stats.resident_bytes,
            "host_items": stats.host_adapters,
            "host_bytes": stats.host_bytes,
        },
    }


def main() -> None:
    """Run and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=10_000)
    cycles = parser.parse_args().cycles
    with tempfile.TemporaryDirectory() as place:
        found = measure(cycles, Path(place))
    print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())


if __name__ == "__main__":
    main()
