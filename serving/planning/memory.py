"""What a replica needs in memory for so many tasks. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from serving.planning.figures import Figures

MIB = 1 << 20
ASSUMED_GROWTH = 1.2
"""Resident bytes of tasks for each byte that is counted, where the measured tasks are too small to
tell: stacks with free rows, and Python's own objects."""
STACK_GROWTH = 2.0
"""Stacks on the device that have just grown hold up to twice what is counted."""
SERVER_BYTES = 128 * MIB
"""What a server under load holds beyond a process that only ran batches; a guess from two cores."""
SPARE_SHARE, SPARE_BYTES = 0.1, 128 * MIB
_MARGIN = 1.1
_LEAST_MIB = 64


@dataclass(frozen=True, slots=True)
class TaskMemory:
    """What one task takes, on average over the catalog's tasks by kind.

    Args:
        host_bytes, adapter_bytes, head_bytes: counted; the last two on the device.
        slots: of the device.
        real_bytes: that it adds to the process.
        most_bytes: that it may add while stacks grow.
        gpu_bytes: that it may add to a device with memory of its own.
    """

    host_bytes: float
    adapter_bytes: float
    head_bytes: float
    slots: float
    real_bytes: float
    most_bytes: float
    gpu_bytes: float


def task_memory(figures: Figures) -> TaskMemory:
    """One task's share, where kinds that were sampled stand for all tasks of their kind."""
    host = _mean(figures, "host_bytes")
    adapter, head = _mean(figures, "adapter_bytes"), _mean(figures, "head_bytes")
    growth = figures.growth or ASSUMED_GROWTH
    if not has_own_memory(figures):
        copied = adapter + head - _mean(figures, "shared_bytes")
        real, most = (host + copied) * growth, host + STACK_GROWTH * copied
        gpu = 0.0
    else:
        real, most = host * growth, host * growth
        gpu = STACK_GROWTH * adapter + head
    slots = _mean(figures, "slots")
    return TaskMemory(host, adapter, head, slots, real, max(real, most), gpu)


def has_own_memory(figures: Figures) -> bool:
    """Whether the device's memory is not the process's."""
    return not figures.machine.device.startswith("cpu")


def _mean(figures: Figures, name: str) -> float:
    """The mean over the catalog: each kind's mean, weighted by how many tasks are of it."""
    by_kind: dict[str, list[float]] = {}
    for task in figures.tasks:
        by_kind.setdefault(task.kind, []).append(getattr(task, name))
    weights = {kind: max(figures.kinds.get(kind, 0), len(found)) for kind, found in by_kind.items()}
    total = sum(weights.values())
    return sum(weights[kind] * sum(found) / len(found) for kind, found in by_kind.items()) / total


def base_bytes(figures: Figures, task: TaskMemory) -> float:
    """What a server holds without its tasks: as a real one did, or by this process and a guess."""
    http = figures.http
    if http is None:
        return figures.loaded_bytes + SERVER_BYTES
    return max(figures.loaded_bytes, http.loaded_bytes - http.tasks * task.real_bytes)


def request_bytes(base: float, task: TaskMemory, resident: int) -> float:
    """What a replica holds in steady work."""
    return base + resident * task.real_bytes


def limit_bytes(base: float, task: TaskMemory, resident: int) -> float:
    """What a replica must be allowed: stacks while they grow, files while they are read."""
    return base * (1 + SPARE_SHARE) + SPARE_BYTES + resident * task.most_bytes


def most_resident(base: float, task: TaskMemory, memory: int) -> int:
    """Tasks that fit into so many bytes; below 0 where not even the backbone does."""
    left = memory - limit_bytes(base, task, 0)
    return int(left // task.most_bytes) if left >= 0 and task.most_bytes else int(max(-1.0, left))


def device_setting(figures: Figures, task: TaskMemory, resident: int) -> int:
    """`POLYHEAD_DEVICE_BYTES`: one half is for adapters, the other for heads."""
    half = max(task.adapter_bytes, task.head_bytes) * resident
    largest = max(max(each.adapter_bytes, each.head_bytes) for each in figures.tasks)
    return _whole(2 * max(_MARGIN * half, figures.machine.lanes * largest))


def host_setting(task: TaskMemory, resident: int) -> int:
    """`POLYHEAD_HOST_BYTES`."""
    return _whole(_MARGIN * task.host_bytes * resident)


def slots_setting(figures: Figures, task: TaskMemory, resident: int) -> int:
    """`POLYHEAD_MAX_SLOTS`: each lane must find room for the widest task beside the others."""
    widest = max((each.slots for each in figures.tasks), default=1)
    floor = max(1, figures.machine.lanes * widest)
    return max(floor, ceil(_MARGIN * task.slots * resident))


def _whole(size: float) -> int:
    """Whole mebibytes; small limits save nothing."""
    return max(_LEAST_MIB, ceil(size / MIB)) * MIB
