"""A plan as rows: what each number is called, its unit, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from serving.planning.costs import Costs
from serving.planning.figures import Figures
from serving.planning.memory import ASSUMED_GROWTH
from serving.planning.sizing import Plan, Replicas
from serving.planning.throughput import mean_load_s
from serving.planning.wishes import ORDINARY_TOKENS, Wishes


class Origin(StrEnum):
    """Where a number comes from."""

    GIVEN = "given"
    MEASURED = "measured"
    COMPUTED = "computed"
    ASSUMED = "assumed"
    QUOTED = "quoted"


class Fact(NamedTuple):
    """One number.

    Args:
        key: in JSON.
        label: for people.
        value: None where it does not apply.
        unit: `bytes`, `s`, `share`, `/s` or the noun that is counted.
        origin: where it comes from.
        how: the formula or what was done, in few words.
    """

    key: str
    label: str
    value: float | str | None
    unit: str
    origin: Origin
    how: str = ""


M, C = Origin.MEASURED, Origin.COMPUTED


def given(wishes: Wishes, plan: Plan) -> Iterator[Fact]:
    """What the plan was asked for."""
    is_default = wishes.tokens == ORDINARY_TOKENS
    tokens = Origin.ASSUMED if is_default else Origin.GIVEN
    how = "ordinary text: the mean of benchmarks.rows" if is_default else ""
    total = Origin.GIVEN if wishes.tasks_total else M
    yield Fact("requests_per_s", "load", wishes.requests_per_s, "requests/s", Origin.GIVEN)
    yield Fact("tokens", "length of a request", wishes.tokens, "tokens", tokens, how)
    yield Fact("tasks_total", "tasks", plan.num_tasks, "tasks", total)
    yield Fact("utilisation", "utilisation", wishes.utilisation, "share", Origin.GIVEN)
    yield Fact("spare", "replicas that may be lost", wishes.spare, "replicas", Origin.GIVEN)
    yield Fact("zipf", "Zipf exponent of the tasks", wishes.zipf, "", Origin.GIVEN)
    if wishes.memory is not None:
        yield Fact("memory", "memory of a replica", wishes.memory, "bytes", Origin.GIVEN)


def measured(figures: Figures, plan: Plan) -> Iterator[Fact]:
    """What was seen on the machine that measured."""
    costs, task = plan.whole.able.costs, plan.task
    has_server = figures.http is not None
    base_origin = M if has_server else Origin.ASSUMED
    base = "on loopback, less its tasks" if has_server else "process after large batches + 128 MiB"
    yield Fact("bare_bytes", "process, bare backbone", figures.bare_bytes, "bytes", M)
    yield Fact("base_bytes", "server without tasks", plan.base_bytes, "bytes", base_origin, base)
    yield Fact("task_host_bytes", "a task, host", task.host_bytes, "bytes", M)
    device = task.adapter_bytes + task.head_bytes
    yield Fact("task_device_bytes", "a task, device", device, "bytes", M)
    is_told = figures.growth is not None
    grown = "process growth" if is_told else f"counted × {ASSUMED_GROWTH}: tasks too small to tell"
    origin = M if is_told else Origin.ASSUMED
    yield Fact("task_real_bytes", "a task, really", task.real_bytes, "bytes", origin, grown)
    yield from _speeds(costs, figures)
    share = Origin.MEASURED if figures.http else Origin.QUOTED
    how = "server on loopback" if figures.http else "two cores, docs/sizing.md; no time here"
    value = plan.whole.able.share
    yield Fact("http_share", "forwards' share of a request", value, "share", share, how)
    around_s = plan.whole.able.around_s
    yield Fact("around_s", "a request outside of forwards", around_s, "s", share, how)
    admit_s = sum(each.admit_s for each in figures.tasks) / len(figures.tasks)
    how = "evicted, files in the system's cache"
    yield Fact("load_s", "a cold task comes in", mean_load_s(figures), "s", M, how)
    yield Fact("admit_s", "a new task is read and checked", admit_s, "s", M)


def _speeds(costs: Costs, figures: Figures) -> Iterator[Fact]:
    how = f"fit to {len(figures.batches)} sizes, {figures.machine.lanes} lanes busy"
    yield Fact("fixed_s", "a batch, fixed", costs.fixed_s, "s", M, how)
    yield Fact("token_s", "a token", costs.token_s, "s", M, how)
    has_many = any(each.tasks > 1 for each in figures.batches)
    more = "many tasks against one" if has_many else "one task only: not seen"
    origin = M if has_many else Origin.ASSUMED
    yield Fact("task_s", "each further task of a batch", costs.task_s, "s", origin, more)


def replica(found: Replicas, wishes: Wishes) -> Iterator[Fact]:
    """What one topology takes; the formulas are in docs/sizing.md."""
    able, tokens = found.able, wishes.tokens
    usable = able.requests_per_s * wishes.utilisation
    yield Fact("replicas", "replicas", found.count, "replicas", C, "load / usable + spare")
    yield Fact("usable_requests_per_s", "usable, each", usable, "requests/s", C, "× utilisation")
    yield Fact("requests_per_s", "at most, each", able.requests_per_s, "requests/s", C)
    yield Fact("tokens_per_s", "at most, each", able.requests_per_s * tokens, "tokens/s", C)
    yield Fact("batch_tokens", "a full batch", able.batch_tokens, "tokens", C)
    yield Fact("batch_s", "a full batch takes", able.batch_s, "s", C)
    yield Fact("tasks_each", "tasks asked of each", found.tasks_each, "tasks", C)
    yield Fact("resident", "of them in memory", found.resident, "tasks", C)
    yield Fact("memory_request", "memory request", found.request_bytes, "bytes", C)
    yield Fact("memory_limit", "memory limit", found.limit_bytes, "bytes", C)
    if found.gpu_bytes:
        yield Fact("gpu_bytes", "device memory for tasks", found.gpu_bytes, "bytes", C)
    for name, value in settings_of(found).items():
        yield Fact(name, name, str(value), "", C)
    yield Fact("p50_s", "p50 at this load", found.p50_s, "s", C, "a model of growing batches")
    yield Fact("cold_share", "requests that wait for a load", found.cold, "share", C, "Zipf")
    if found.cold > 0:
        yield Fact("cold_p50_s", "p50 of those", found.cold_p50_s, "s", C, "p50 + load")


def settings_of(found: Replicas) -> dict[str, int]:
    """The environment of each replica."""
    return {
        "POLYHEAD_DEVICE_BYTES": found.device_setting,
        "POLYHEAD_HOST_BYTES": found.host_setting,
        "POLYHEAD_MAX_SLOTS": found.slots_setting,
    }
