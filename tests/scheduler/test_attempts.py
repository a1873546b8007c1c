"""Which rows run again when a batch raises, without an engine."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter_runtime import (
    CapacityError,
    InvalidInput,
    PolyheadError,
    RunResult,
    RunStats,
    VersionFailed,
)
from serving.scheduler.attempts import Part, run_apart
from serving.scheduler.entries import Pick
from tests.scheduler.rig import entry

Key = tuple[str, int]


class Runs:
    """Counts runs; raises where a batch holds one of the bad rows, named by task and length."""

    def __init__(self, bad: Callable[[Pick], bool], error: Exception | None = None) -> None:
        self.bad, self.error, self.count = bad, error or ZeroDivisionError("x"), 0

    def __call__(self, picks: Sequence[Pick]) -> RunResult:
        self.count += 1
        if any(self.bad(pick) for pick in picks):
            raise self.error
        return RunResult(tuple({"row": pick.row} for pick in picks), RunStats(1, 1, 1, 0, 0.1))


def picks(**rows: int) -> list[Pick]:
    """So many rows of each task, interleaved."""
    entries = [entry(task, *[3] * number) for task, number in rows.items()]
    found = [Pick(each, row) for each in entries for row in range(len(each.outcomes))]
    return sorted(found, key=lambda pick: pick.row)


def of_task(*tasks: str) -> Callable[[Pick], bool]:
    """Whether a row is of one of these tasks."""
    return lambda pick: pick.entry.version.task in tasks


def failed(parts: Sequence[Part]) -> dict[str, int]:
    """How many rows of each task have an error."""
    found: dict[str, int] = {}
    for part in parts:
        for pick, outcome in zip(part.picks, part.outcomes(), strict=True):
            if isinstance(outcome, Exception):
                task = pick.entry.version.task
                found[task] = found.get(task, 0) + 1
    return found


def guilty(parts: Sequence[Part]) -> set[str]:
    """The blamed tasks."""
    return {pick.entry.version.task for part in parts for pick, _ in part.guilt()}


def test_batch_that_runs_runs_once() -> None:
    """Nothing is split without need."""
    runs = Runs(of_task())
    parts = list(run_apart(runs, picks(a=3, b=2)))
    assert (runs.count, len(parts), failed(parts), guilty(parts)) == (1, 1, {}, set())


def test_mates_of_a_guilty_version_are_answered() -> None:
    """All its rows fail, no other does."""
    parts = list(run_apart(Runs(of_task("b")), picks(a=3, b=4, c=1, d=2)))
    assert failed(parts) == {"b": 4}
    assert guilty(parts) == {"b"}
    errors = {type(outcome) for part in parts if part.error for outcome in part.outcomes()}
    assert errors == {VersionFailed}


def test_one_bad_row_does_not_spoil_its_versions_others() -> None:
    """It is found by halves; the version is blamed all the same."""
    runs = Runs(lambda pick: pick.row == 37)
    parts = list(run_apart(runs, picks(a=100)))
    assert failed(parts) == {"a": 1}
    assert guilty(parts) == {"a"}
    assert runs.count <= 2 + 2 * math.ceil(math.log2(100))


def test_version_that_always_raises_is_not_split_far() -> None:
    """Where both halves raise it is the version, and no row of it."""
    runs = Runs(of_task("a"))
    assert failed(list(run_apart(runs, picks(a=512)))) == {"a": 512}
    assert runs.count == 3


def test_single_row_is_not_tried_again() -> None:
    """There is nobody to save."""
    runs = Runs(of_task("a"))
    assert failed(list(run_apart(runs, picks(a=1)))) == {"a": 1}
    assert runs.count == 1


@pytest.mark.parametrize("error", (InvalidInput("too odd."), CapacityError("No room.")))
def test_some_errors_are_nobodys_guilt(error: PolyheadError) -> None:
    """The client's mistake and a full device; each row gets that very error."""
    parts = list(run_apart(Runs(of_task("b"), error), picks(a=2, b=2)))
    assert guilty(parts) == set()
    assert {str(outcome) for part in parts if part.error for outcome in part.outcomes()} == {
        str(error)
    }


def test_no_room_is_not_split() -> None:
    """All rows wait for the next batch."""
    runs = Runs(of_task("b"), CapacityError("No room."))
    assert failed(list(run_apart(runs, picks(a=2, b=2)))) == {"a": 2, "b": 2}
    assert runs.count == 1


def test_whole_that_fails_while_its_parts_run_blames_nobody() -> None:
    """Such as a batch that was too large for the memory."""
    runs = Runs(of_task())

    def too_large(rows: Sequence[Pick]) -> RunResult:
        if len(rows) > 3:
            raise MemoryError
        return runs(rows)

    parts = list(run_apart(too_large, picks(a=5, b=3)))
    assert (failed(parts), guilty(parts)) == ({}, set())


def test_rows_that_fail_by_their_version_are_its_guilt() -> None:
    """Without any raise of the batch; other failed rows are not."""
    rows = picks(a=1, b=1)
    outcomes = (VersionFailed("nan"), ValueError("no fault"))
    part = Part(tuple(rows), RunResult(outcomes, RunStats(2, 2, 2, 0, 0.1)))
    assert guilty([part]) == {rows[0].entry.version.task}


@given(
    rows=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 20), min_size=1),
    bad=st.sets(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 19))),
)
def test_each_row_ends_once_and_good_tasks_are_answered(
    rows: dict[str, int], bad: set[Key]
) -> None:
    """Whichever rows raise, and within the promised number of runs."""
    runs = Runs(lambda pick: (pick.entry.version.task, pick.row) in bad)
    batch = picks(**rows)
    parts = list(run_apart(runs, batch))
    ended = [(pick.entry.version.task, pick.row) for part in parts for pick in part.picks]
    assert sorted(ended) == sorted((pick.entry.version.task, pick.row) for pick in batch)
    sick = {task for task, row in bad if row < rows.get(task, 0)}
    assert guilty(parts) == sick == set(failed(parts))
    most = 2 * len(sick) * (math.log2(len(rows)) + math.log2(20) + 2)
    assert runs.count <= max(1, math.ceil(most))
