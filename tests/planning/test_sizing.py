"""Figures and wishes in, replicas and memory out; the formulas of docs/sizing.md."""

from __future__ import annotations

from typing import Any

import pytest

from adapter_runtime import SettingsError
from serving.planning.costs import fit
from serving.planning.figures import Figures
from serving.planning.popularity import expected_tasks, top_share
from serving.planning.sizing import Topology, make_plan
from serving.planning.throughput import QUOTED_SHARE
from serving.planning.wishes import MOST_TASKS, Wishes, read_resident, read_size
from serving.settings import Settings
from tests.planning.figures import (
    FIXED_S,
    MIB,
    TASK_S,
    TOKEN_S,
    batch,
    figures,
    http,
    machine,
    task,
)

SETTINGS = Settings(max_batch_s=0.1, min_batch_tokens=1)


def wishes(load: float = 100.0, **changes: Any) -> Wishes:
    """A load of ten tasks, all asked alike."""
    return Wishes(load, **{"tokens": 50.0, "zipf": 0.0, **changes})


def test_costs_are_found_again_in_batches_that_follow_them() -> None:
    """Fixed cost, cost per token and cost per task come out as they went in."""
    found = fit(figures().batches)
    assert (FIXED_S, TOKEN_S, TASK_S) == pytest.approx((found.fixed_s, found.token_s, found.task_s))


def test_noise_never_makes_a_cost_negative() -> None:
    """Batches that are faster with many tasks, or larger, do not yield answers for nothing."""
    slow, fast = batch(1, 1), batch(16, 1).model_copy(update={"seconds": batch(1, 1).seconds / 2})
    many = batch(16, 10).model_copy(update={"seconds": 1e-6})
    found = fit((slow, fast, many))
    assert found.fixed_s >= 0
    assert found.token_s > 0
    assert 0 == found.task_s


def test_the_bare_backbone_stands_in_where_no_task_was_timed() -> None:
    """A catalog whose tasks take no text of ours is still planned, from bare batches."""
    found = fit((batch(1, 0), batch(16, 0)))
    assert (FIXED_S, TOKEN_S, 0.0) == pytest.approx((found.fixed_s, found.token_s, found.task_s))


def test_a_replica_does_what_full_batches_give_times_what_http_leaves() -> None:
    """(0.1 s − fixed) / token = 450 tokens = 9 requests, in 0.1 s plus the further tasks' cost."""
    able = make_plan(figures(), wishes(), SETTINGS).whole.able
    different = expected_tasks(9, 10, 0.0)
    assert (450.0, 0.1 + TASK_S * (different - 1)) == pytest.approx(
        (able.batch_tokens, able.batch_s)
    )
    around_s = able.batch_s / 9 * (32 / 50) * (1 / QUOTED_SHARE - 1)
    assert able.requests_per_s == pytest.approx(2 / (able.batch_s / 9 + around_s))


@pytest.mark.parametrize(
    ("load", "utilisation", "spare", "count"),
    ((1.0, 0.6, 0, 1), (1.0, 0.6, 2, 3), (60.0, 0.6, 1, 2), (100.0, 0.6, 1, 3), (100.0, 1.0, 0, 1)),
)
def test_replicas_carry_the_load_without_the_spare_ones(
    load: float, utilisation: float, spare: int, count: int
) -> None:
    """Load over what is usable, rounded up, and the spare ones on top; one does 134 a second."""
    plan = make_plan(figures(), wishes(load, utilisation=utilisation, spare=spare), SETTINGS)
    assert plan.whole.able.requests_per_s == pytest.approx(134.4, rel=0.01)
    assert count == plan.whole.count


def test_a_measured_server_says_what_http_leaves() -> None:
    """What the server answered over what its forwards alone would have given."""
    share = make_plan(figures(http=http()), wishes(), SETTINGS).whole.able.share
    forwards = 2 * 9 / (FIXED_S + TOKEN_S * 450 + TASK_S * (expected_tasks(9, 10, 0.0) - 1))
    assert share == pytest.approx(100 / forwards)


def test_processor_time_of_the_server_wins_over_what_it_answered() -> None:
    """What else runs on the machine slows a server down, but takes none of its processor time."""
    forward = (FIXED_S + TOKEN_S * 450 + TASK_S * (expected_tasks(9, 10, 0.0) - 1)) / 9
    slow = http(requests_per_s=1.0, processor_s=2 * forward)
    able = make_plan(figures(http=slow), wishes(), SETTINGS).whole.able
    assert (0.5, forward) == pytest.approx((able.share, able.around_s))
    assert able.requests_per_s == pytest.approx(2 / (2 * forward))


def test_what_python_does_for_a_request_bounds_a_machine_of_many_cores() -> None:
    """Sixty-four lanes do not help where a request takes 10 ms outside of forwards."""
    forward = (FIXED_S + TOKEN_S * 50) / 1
    many = machine(lanes=64, cores=64)
    seen = http(processor_s=forward + 0.01, tasks=1)
    able = make_plan(figures(machine=many, http=seen), wishes(), SETTINGS).whole.able
    assert able.requests_per_s == pytest.approx(100)


def test_memory_is_the_server_and_its_tasks() -> None:
    """A task is counted with 2 MiB and grew the process by 4; a server adds 128."""
    found = make_plan(figures(), wishes(), SETTINGS).whole
    assert 668 * MIB == found.request_bytes
    assert 628 * 1.1 + 128 + 10 * 4 == pytest.approx(found.limit_bytes / MIB)
    assert 0 == found.gpu_bytes


def test_a_server_that_was_measured_counts_without_its_tasks() -> None:
    """700 MiB with ten tasks of 4 MiB: 660 without."""
    plan = make_plan(figures(http=http()), wishes(), SETTINGS)
    assert 660 * MIB == plan.base_bytes


def test_a_device_with_memory_of_its_own_is_counted_by_itself() -> None:
    """On a GPU the process holds the host's copy only."""
    found = make_plan(figures(machine=machine(device="cuda:0", lanes=1)), wishes(), SETTINGS)
    assert (628 + 10 * 2) * MIB == found.whole.request_bytes
    assert 10 * 1.5 * MIB == found.whole.gpu_bytes
    assert any("own memory" in note for note in found.notes)


def test_what_device_and_host_share_is_counted_once() -> None:
    """On a CPU a task whose tensors on the device are the host's own takes half as much."""
    copied = make_plan(figures(), wishes(), SETTINGS).task
    shared = make_plan(figures(tasks=(task(shared_bytes=MIB),)), wishes(), SETTINGS).task
    assert copied.real_bytes == 2 * shared.real_bytes == 4 * MIB


def test_kinds_that_were_sampled_stand_for_all_of_their_kind() -> None:
    """One large task of a kind of nine and one small of a kind of one: the mean is weighted."""
    tasks = (task("a", host_bytes=10), task("b", kind="fill-mask", host_bytes=110))
    kinds = {"text-classification": 9, "fill-mask": 1}
    plan = make_plan(figures(tasks=tasks, kinds=kinds), wishes(), SETTINGS)
    assert plan.task.host_bytes == pytest.approx(20)
    assert any("2 of 10 tasks were loaded" in note for note in plan.notes)


def test_limits_leave_room_for_all_that_shall_be_resident() -> None:
    """One half of the device's limit is for adapters, the other for heads."""
    found = make_plan(figures(), wishes(tasks_total=1000), SETTINGS).whole
    assert found.device_setting / 2 >= 1000 * MIB / 2
    assert found.host_setting >= 1000 * MIB
    assert found.slots_setting >= 1000


def test_as_many_tasks_stay_as_the_memory_holds() -> None:
    """840 MiB less 819 for the server leaves room for five tasks of 4 MiB."""
    found = make_plan(figures(), wishes(memory=840 * MIB), SETTINGS).whole
    assert 5 == found.resident
    assert found.limit_bytes <= 840 * MIB
    assert found.cold == pytest.approx(0.5)
    assert found.cold_p50_s == pytest.approx(found.p50_s + 0.01)


def test_loads_take_from_the_throughput() -> None:
    """A replica that brings half its tasks in first does less."""
    all_in = make_plan(figures(), wishes(), SETTINGS).whole
    half_in = make_plan(figures(), wishes(resident=5), SETTINGS).whole
    assert half_in.able.requests_per_s < all_in.able.requests_per_s


def test_affinity_is_advised_where_a_replica_cannot_hold_all_tasks() -> None:
    """Replicas that hold other tasks each have most of them together."""
    plan = make_plan(figures(), wishes(1000.0, tasks_total=1000, resident=200), SETTINGS)
    assert Topology.AFFINE is plan.topology
    assert plan.affine.cold < plan.whole.cold
    assert plan.affine.tasks_each < plan.whole.tasks_each == 1000
    assert plan.affine.tasks_each * (plan.affine.count - 1) >= 1000


@pytest.mark.parametrize("load", (1.0, 1000.0))
def test_whole_replicas_are_advised_while_tasks_are_small(load: float) -> None:
    """Nothing is gained by dividing what every replica holds anyway."""
    assert Topology.WHOLE is make_plan(figures(), wishes(load), SETTINGS).topology


def test_latency_grows_with_the_load() -> None:
    """A replica that is asked more answers later."""
    found = [
        make_plan(figures(), wishes(load, utilisation=1.0, spare=0), SETTINGS).whole.p50_s
        for load in (1.0, 60.0, 110.0)
    ]
    assert sorted(found) == found
    assert FIXED_S < found[0] < found[2] < 1


@pytest.mark.parametrize(
    ("changes", "text"),
    (
        ({"memory": 100 * MIB}, "100Mi is too little: this backbone with one task needs"),
        ({"memory": 840 * MIB, "resident": 10}, "give --resident 5 or less"),
        ({"memory": 840 * MIB, "resident": MOST_TASKS}, "10 resident tasks need"),
        ({"tokens": 100_000.0}, "a row of this backbone holds 512 tokens"),
    ),
)
def test_what_cannot_be_is_said_with_its_remedy(changes: dict[str, Any], text: str) -> None:
    """Impossible memory and impossible requests are sentences."""
    with pytest.raises(SettingsError, match=text):
        make_plan(figures(), wishes(**changes), SETTINGS)


def test_a_load_beyond_all_measure_is_refused() -> None:
    """A slip of units does not print a million replicas."""
    with pytest.raises(SettingsError, match="check --requests-per-second"):
        make_plan(figures(), wishes(1e9), SETTINGS)


@pytest.mark.parametrize(
    ("changes", "text"),
    (
        ({"requests_per_s": 0.0}, "--requests-per-second"),
        ({"requests_per_s": float("nan")}, "--requests-per-second"),
        ({"tokens": 0.0}, "--tokens"),
        ({"utilisation": 1.5}, "--utilisation"),
        ({"spare": -1}, "--spare"),
        ({"zipf": -1.0}, "--zipf"),
        ({"resident": 0}, "--resident"),
        ({"tasks_total": 0}, "--tasks-total"),
    ),
)
def test_wishes_out_of_range_name_the_option(changes: dict[str, Any], text: str) -> None:
    """Each bad value is refused by the name of its option."""
    with pytest.raises(SettingsError, match=text):
        Wishes(**{"requests_per_s": 1.0, **changes})


@pytest.mark.parametrize(
    ("text", "size"),
    (("4Gi", 4 << 30), ("512M", 512_000_000), ("1.5GiB", 3 << 29), ("1000", 1000), (" 2ki ", 2048)),
)
def test_sizes_are_read_as_kubernetes_writes_them(text: str, size: int) -> None:
    """Binary and decimal units, in any case."""
    assert size == read_size(text)


@pytest.mark.parametrize("text", ("", "4 apples", "-1Gi", "0", "1e9", "Gi"))
def test_what_is_no_size_is_refused(text: str) -> None:
    """The sentence shows how to write one."""
    with pytest.raises(SettingsError, match="such as 4Gi"):
        read_size(text)


@pytest.mark.parametrize(("text", "count"), ((None, None), ("all", MOST_TASKS), ("7", 7)))
def test_resident_tasks_are_a_number_or_all(text: str | None, count: int | None) -> None:
    """Left out, it is as many as fit."""
    assert count == read_resident(text)


def test_resident_that_is_no_number_is_refused() -> None:
    """The sentence says what it may be."""
    with pytest.raises(SettingsError, match="a number of tasks, or all"):
        read_resident("many")


@pytest.mark.parametrize(
    ("count", "total", "exponent", "share"),
    ((1, 4, 0.0, 0.25), (4, 4, 1.0, 1.0), (9, 4, 1.0, 1.0), (1, 2, 1.0, 2 / 3), (0, 4, 1.0, 0.0)),
)
def test_popular_tasks_get_their_share(
    count: int, total: int, exponent: float, share: float
) -> None:
    """Zipf's law: the second task is asked half as often as the first."""
    assert share == pytest.approx(top_share(count, total, exponent))


def test_a_batch_asks_no_more_tasks_than_it_has_requests() -> None:
    """Two requests of two tasks asked alike meet one and a half tasks."""
    assert 1.5 == pytest.approx(expected_tasks(2, 2, 0.0))
    assert 1.0 == pytest.approx(expected_tasks(1, 100, 1.0))


def test_other_machines_work_means_a_note() -> None:
    """Figures of a machine that others used say so in the plan."""
    loud: Figures = figures(cpu_share=0.4)
    assert any("40%" in note for note in make_plan(loud, wishes(), SETTINGS).notes)
    assert not any("machine" in note for note in make_plan(figures(), wishes(), SETTINGS).notes)
