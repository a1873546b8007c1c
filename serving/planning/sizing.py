"""From figures and wishes to a plan: replicas, memory, settings. Pure; see `docs/sizing.md`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import ceil

from adapter_runtime import SettingsError
from serving.planning import memory
from serving.planning.figures import Figures
from serving.planning.memory import MIB, TaskMemory, task_memory
from serving.planning.popularity import top_share
from serving.planning.throughput import Throughput, mean_load_s, p50_s, throughput
from serving.planning.wishes import Wishes
from serving.settings import Settings

_OVERFLOW = 1.25
"""Bounded load lets a replica have this much more than the mean before others take over."""
_QUIET = 0.8
_MOST_REPLICAS = 100_000


class Topology(StrEnum):
    """How replicas share tasks: each has all, or each has its own behind an ingress."""

    WHOLE = "whole"
    AFFINE = "affine"


@dataclass(frozen=True, slots=True)
class Replicas:
    """One topology.

    Args:
        count: replicas, `spare` ones included.
        tasks_each: tasks that one replica is asked for.
        resident: of them in memory.
        cold: share of requests that bring their task in first.
        request_bytes, limit_bytes: of process memory for each replica.
        gpu_bytes: of its device's own memory for tasks, the backbone not counted; 0 on CPU.
        device_setting, host_setting, slots_setting: values of the three `POLYHEAD_*` limits.
        able: what one replica can do.
        p50_s, cold_p50_s: at this load with all replicas up; and where the task comes in first.
    """

    count: int
    tasks_each: int
    resident: int
    cold: float
    request_bytes: int
    limit_bytes: int
    gpu_bytes: int
    device_setting: int
    host_setting: int
    slots_setting: int
    able: Throughput
    p50_s: float
    cold_p50_s: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What the wishes take.

    Args:
        num_tasks: planned with.
        base_bytes: of a server without tasks.
        task: what one task takes.
        advice: which topology, and why.
    """

    num_tasks: int
    base_bytes: int
    task: TaskMemory
    whole: Replicas
    affine: Replicas
    topology: Topology
    advice: str
    notes: tuple[str, ...] = ()


def make_plan(figures: Figures, wishes: Wishes, settings: Settings) -> Plan:
    """Compute a plan.

    Raises:
        SettingsError: the load cannot be carried so; says what to change.
    """
    task = task_memory(figures)
    base = memory.base_bytes(figures, task)
    num_tasks = wishes.tasks_total or figures.num_tasks
    _check_tokens(figures, wishes)
    fits = _resident(base, task, wishes, num_tasks)
    ask = _Ask(figures, wishes, settings, task, base, num_tasks)
    cold = 1 - top_share(fits, num_tasks, wishes.zipf)
    whole = ask.replicas(num_tasks, fits, cold)
    affine = _affine(ask, fits, whole)
    topology, advice = _advice(whole, affine, ask)
    notes = _notes(figures, wishes, settings)
    return Plan(num_tasks, int(base), task, whole, affine, topology, advice, notes)


@dataclass(frozen=True, slots=True)
class _Ask:
    """All that replicas are computed from."""

    figures: Figures
    wishes: Wishes
    settings: Settings
    task: TaskMemory
    base: float
    num_tasks: int

    def replicas(self, tasks_each: int, resident: int, cold: float) -> Replicas:
        """So many that they carry the load without the spare ones."""
        figures, wishes, task = self.figures, self.wishes, self.task
        able = throughput(figures, wishes, self.settings, tasks_each, cold)
        needed = ceil(wishes.requests_per_s / (able.requests_per_s * wishes.utilisation))
        if needed > _MOST_REPLICAS:
            raise SettingsError(
                f"{wishes.requests_per_s:g} requests a second would take {needed} replicas like "
                "this one; check --requests-per-second and --tokens, or measure a larger machine."
            )
        count = needed + wishes.spare
        latency_s = p50_s(able, figures, wishes.requests_per_s / count, wishes.tokens)
        return Replicas(
            count=count,
            tasks_each=tasks_each,
            resident=resident,
            cold=cold,
            request_bytes=int(memory.request_bytes(self.base, task, resident)),
            limit_bytes=int(memory.limit_bytes(self.base, task, resident)),
            gpu_bytes=int(task.gpu_bytes * resident),
            device_setting=memory.device_setting(figures, task, resident),
            host_setting=memory.host_setting(task, resident),
            slots_setting=memory.slots_setting(figures, task, resident),
            able=able,
            p50_s=latency_s,
            cold_p50_s=latency_s + mean_load_s(figures),
        )


def _check_tokens(figures: Figures, wishes: Wishes) -> None:
    longest = figures.machine.max_row_tokens
    if wishes.tokens > longest * 64:
        raise SettingsError(
            f"--tokens {wishes.tokens:g}: a row of this backbone holds {longest} tokens, and a "
            "request of more than 64 full rows is no ordinary one; give the mean of a request."
        )


def _resident(base: float, task: TaskMemory, wishes: Wishes, num_tasks: int) -> int:
    """Tasks in memory on one replica."""
    wanted = num_tasks if wishes.resident is None else min(wishes.resident, num_tasks)
    if wishes.memory is None:
        return wanted
    fitting = memory.most_resident(base, task, wishes.memory)
    if fitting < 1:
        least = ceil(memory.limit_bytes(base, task, 1) / MIB)
        raise SettingsError(
            f"--memory {wishes.memory // MIB}Mi is too little: this backbone with one task needs "
            f"{least}Mi. Give a replica more memory, or take a smaller backbone or dtype."
        )
    if wishes.resident is not None and wanted > fitting:
        least = ceil(memory.limit_bytes(base, task, wanted) / MIB)
        raise SettingsError(
            f"{wanted} resident tasks need {least}Mi on each replica, and --memory is "
            f"{wishes.memory // MIB}Mi: give --resident {fitting} or less, or more memory."
        )
    return min(wanted, fitting)


def _affine(ask: _Ask, fits: int, whole: Replicas) -> Replicas:
    """Each replica has its share of the tasks, such that the spare ones may be lost."""
    affine = whole
    for _ in range(3):  # fewer loads may need fewer replicas, which have more tasks each
        serving = max(1, affine.count - ask.wishes.spare)
        each = min(ask.num_tasks, ceil(_OVERFLOW * ask.num_tasks / serving))
        resident = min(each, fits)
        held = min(ask.num_tasks, int(resident * serving / _OVERFLOW))
        if serving == 1:
            held = resident
        cold = 1 - top_share(held, ask.num_tasks, ask.wishes.zipf) if resident < each else 0.0
        affine = ask.replicas(each, resident, cold)
    return affine


def _advice(whole: Replicas, affine: Replicas, ask: _Ask) -> tuple[Topology, str]:
    tasks_bytes = whole.resident * ask.task.real_bytes
    if whole.count - ask.wishes.spare <= 1:
        return Topology.WHOLE, "one replica carries the load, so there is nothing to divide"
    if whole.cold > 0 and affine.cold < whole.cold:
        return Topology.AFFINE, (
            f"a replica holds {whole.resident} of {ask.num_tasks} tasks: with affinity "
            f"{affine.cold:.1%} of requests wait for a load instead of {whole.cold:.1%}"
        )
    if tasks_bytes > ask.base and affine.request_bytes < whole.request_bytes:
        return Topology.AFFINE, (
            f"all tasks take {tasks_bytes / MIB:.0f} MiB on each replica, more than the server "
            f"itself ({ask.base / MIB:.0f} MiB); divided they take less"
        )
    return Topology.WHOLE, "every replica holds all tasks, and they take less than the server"


def _notes(figures: Figures, wishes: Wishes, settings: Settings) -> tuple[str, ...]:
    notes = []
    measured = min(each.tokens / each.requests for each in figures.batches)
    if not 0.5 <= wishes.tokens / measured <= 2:
        notes.append(
            f"Batches were measured with {measured:.0f} tokens a request and are planned with "
            f"{wishes.tokens:g}: attention costs more in long texts; measure with --tokens again."
        )
    if not memory.has_own_memory(figures) and figures.cpu_share < _QUIET:
        notes.append(
            f"Others used this machine: batches ran {figures.cpu_share:.0%} of the time that they "
            "took. Processor time is what counts here, as quiet cores would give it; shared caches "
            "still make it too long, so measure on a quiet machine where it matters."
        )
    if len(figures.tasks) < figures.num_tasks:
        notes.append(
            f"{len(figures.tasks)} of {figures.num_tasks} tasks were loaded; the others count as "
            "the mean of their kind, which their configs say."
        )
    if wishes.tasks_total and wishes.tasks_total > figures.num_tasks:
        notes.append(
            f"{wishes.tasks_total - figures.num_tasks} tasks are not in the catalog yet and count "
            "as its mean."
        )
    if memory.has_own_memory(figures):
        notes.append(
            "The backbone's share of the device's own memory is not measured: add what "
            "the device's own tool shows for a server without tasks."
        )
    if settings.max_batch_tokens < wishes.tokens:
        notes.append("One request is larger than a batch (max_batch_tokens): its rows are split.")
    return tuple(notes)
