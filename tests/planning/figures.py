"""Figures made up so that sums can be done in the head."""

from __future__ import annotations

from typing import Any

from serving.planning.figures import BatchFigures, Figures, HttpFigures, Machine, TaskFigures

MIB = 1 << 20
FIXED_S, TOKEN_S, TASK_S = 0.010, 0.0002, 0.001


def machine(**changes: Any) -> Machine:
    """Two lanes of a CPU."""
    facts = {"backbone": "b", "model_type": "bert", "device": "cpu", "dtype": "float32"}
    return Machine(**{**facts, "lanes": 2, "max_row_tokens": 512, "cores": 2, **changes})


def task(name: str = "t", **changes: Any) -> TaskFigures:
    """One MiB on the host, one on the device, half a MiB of it the head's."""
    sizes = {"host_bytes": MIB, "adapter_bytes": MIB // 2, "head_bytes": MIB // 2, "slots": 1}
    times = {"admit_s": 0.1, "load_s": 0.01}
    return TaskFigures(**{"name": name, "kind": "text-classification", **sizes, **times, **changes})


def batch(requests: int, tasks: int, tokens: float = 50.0) -> BatchFigures:
    """A batch that takes exactly what the costs say."""
    total = requests * tokens
    seconds = FIXED_S + TOKEN_S * total + TASK_S * max(0, tasks - 1)
    return BatchFigures(
        tokens=total, requests=requests, tasks=tasks, seconds=seconds, wall_s=seconds, rounds=3
    )


def figures(**changes: Any) -> Figures:
    """A catalog of ten tasks, all loaded."""
    facts = {
        "version": "0",
        "machine": machine(),
        "bare_bytes": 400 * MIB,
        "loaded_bytes": 500 * MIB,
        "growth": 2.0,
        "cpu_share": 1.0,
        "num_tasks": 10,
        "tasks": tuple(task(f"t{number}") for number in range(10)),
        "kinds": {"text-classification": 10},
        "batches": tuple(batch(*size) for size in ((1, 1), (4, 1), (4, 4), (16, 1), (16, 10))),
        "http": None,
        "took_s": 60.0,
    }
    return Figures(**{**facts, **changes})


def http(**changes: Any) -> HttpFigures:
    """A server that answers a hundred requests a second."""
    facts = {"connections": 32, "tasks": 10, "tokens": 50.0, "requests_per_s": 100.0}
    return HttpFigures(**{**facts, "processor_s": None, "loaded_bytes": 700 * MIB, **changes})
