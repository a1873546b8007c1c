"""What tasks take: bytes on host and device, slots, and seconds to come in. Through the engine."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapter_runtime import Engine, EngineStats, PolyheadError, TaskVersion
from serving.lifecycle.follower import Outlines
from serving.lifecycle.live.states import State
from serving.lifecycle.live.task import Task
from serving.opening import Opened
from serving.planning.figures import LeftOut, TaskFigures
from serving.planning.resident import resident_bytes

MOST_LOADED = 64
"""Catalogs of up to so many tasks are loaded whole where the time allows; of others, a sample."""
_LEAST_TOLD = 64 << 20
"""Counted bytes below which growth of the process says nothing of tasks."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Weighed:
    """Tasks that were loaded, and the rest of the catalog by what its configs say.

    Args:
        growth: see `Figures`.
    """

    tasks: tuple[TaskFigures, ...]
    versions: tuple[TaskVersion, ...]
    kinds: dict[str, int]
    growth: float | None
    left_out: tuple[LeftOut, ...]


def weigh(opened: Opened, until_s: float, threads: int, say: Say) -> Weighed:
    """Load tasks until the time is over, at least one. Blocks.

    Args:
        until_s: on the monotonic clock.
        threads: that read configs side by side.
    """
    tasks = list(opened.tasks)
    outlines = Outlines(opened.tasks, opened.engine)
    outlines.draw_all([each for task in tasks for each in task.versions], threads)
    left_out = [LeftOut(name=task.name, reason=_reason(task)) for task in tasks if _is_out(task)]
    sound = [task for task in tasks if not _is_out(task)]
    say(f"{len(sound)} tasks; loading up to {min(len(sound), MOST_LOADED)} of them")
    found: list[TaskFigures] = []
    versions: list[TaskVersion] = []
    before, began_bytes = opened.engine.stats(), resident_bytes()
    for task in sample(sound, MOST_LOADED):
        if found and time.monotonic() >= until_s:
            break
        try:
            version, figures = _weigh_one(opened, task.name)
        except PolyheadError as error:
            left_out.append(LeftOut(name=task.name, reason=str(error)))
            continue
        found.append(figures)
        versions.append(version)
    growth = _growth(before, opened.engine.stats(), resident_bytes() - began_bytes, opened.engine)
    kinds = _kinds(sound, {each.name for each in left_out}, found)
    return Weighed(tuple(found), tuple(versions), kinds, growth, tuple(left_out))


def sample(tasks: Sequence[Task], most: int) -> list[Task]:
    """So many tasks, evenly over the catalog, in an order that is even wherever it is cut short."""
    if len(tasks) > most:
        tasks = [tasks[number * len(tasks) // most] for number in range(most)]
    stride = max(1, round(len(tasks) ** 0.5))
    return [task for first in range(stride) for task in tasks[first::stride]]


def _is_out(task: Task) -> bool:
    return all(version.state is State.REJECTED for version in task.versions)


def _reason(task: Task) -> str:
    notes = [note.message for version in task.versions[-1:] for note in version.reasons]
    return " ".join(notes) or "it has no version that could answer."


def _kinds(sound: Sequence[Task], out: set[str], found: Sequence[TaskFigures]) -> dict[str, int]:
    """Tasks by kind: those loaded by their version, others by their configs."""
    known = {each.name: each.kind for each in found}
    common = Counter(known.values()).most_common(1)
    fallback = common[0][0] if common else ""
    kinds: Counter[str] = Counter()
    for task in sound:
        if task.name not in out:
            outlined = task.versions[-1].outline.kind
            kinds[known.get(task.name) or str(outlined or fallback)] += 1
    return dict(kinds)


def _weigh_one(opened: Opened, name: str) -> tuple[TaskVersion, TaskFigures]:
    """One task's figures; its weights stay on the device.

    Raises:
        PolyheadError: it cannot serve.
    """
    engine = opened.engine
    before, began_s = engine.stats(), time.monotonic()
    version = opened.at_once.resolve(name)
    admit_s = time.monotonic() - began_s
    _come_in(engine, version)
    after = engine.stats()
    own = engine.inspect(version.spec).facts
    adapters = sum(each.get("device_bytes", 0) for each in own["adapters"])
    head_bytes = own["cost"]["device_bytes"] - adapters
    host_bytes = own["cost"]["adapter_bytes"] + own["cost"]["head_bytes"]
    slots = len({each.get("digest") for each in own["adapters"]})
    if not _has_evicted(before, after):  # what it shares with tasks before it costs nothing
        host_bytes = after.host_bytes - before.host_bytes
        head_bytes = min(head_bytes, after.resident_bytes - before.resident_bytes)
        adapters = after.resident_bytes - before.resident_bytes - head_bytes
        slots = before.free_slots - after.free_slots
    return version, TaskFigures(
        name=name,
        kind=str(version.kind),
        slots=slots,
        host_bytes=host_bytes,
        adapter_bytes=adapters,
        head_bytes=head_bytes,
        shared_bytes=_shared(after, adapters + head_bytes),
        admit_s=admit_s,
        load_s=_load_s(engine, version),
    )


def _shared(stats: EngineStats, device_bytes: int) -> int:
    """Of a task's bytes on the device, those without a copy, as with all that is there."""
    return device_bytes * stats.shared_bytes // max(1, stats.resident_bytes)


def _come_in(engine: Engine, version: TaskVersion) -> None:
    engine.hold(version)
    engine.release(version)


def _load_s(engine: Engine, version: TaskVersion) -> float:
    """From files to the device, once more."""
    engine.evict(version)
    began_s = time.monotonic()
    engine.load(version)
    _come_in(engine, version)
    return time.monotonic() - began_s


def _has_evicted(before: EngineStats, after: EngineStats) -> bool:
    return (before.device_evictions, before.host_evictions) != (
        after.device_evictions,
        after.host_evictions,
    )


def _growth(
    before: EngineStats, after: EngineStats, grown_bytes: int, engine: Engine
) -> float | None:
    """Bytes of the process for each counted byte; at least 1. None where too little came."""
    counted = after.host_bytes - before.host_bytes
    if engine.info.device.startswith("cpu"):
        counted += after.resident_bytes - before.resident_bytes
        counted -= after.shared_bytes - before.shared_bytes
    return max(1.0, grown_bytes / counted) if counted >= _LEAST_TOLD else None
