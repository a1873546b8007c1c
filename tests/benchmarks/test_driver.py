"""Contenders take turns, and one that fails is told with its reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.contenders import driver, environments
from benchmarks.contenders.driver import Contender, gaps, take_turns
from benchmarks.contenders.worker import buckets, padded
from benchmarks.processes import plain_environment
from serving.opening import THREAD_PLAN

WORKER = """
import os
import pathlib
from benchmarks.contenders.worker import work

def prepare(job):
    log = pathlib.Path(job["log"])
    if job.get("is_broken"):
        raise ValueError("no such model")
    runs = []
    def run(is_shown):
        runs.append(True)
        if job.get("dies") and len(runs) > 2:
            os._exit(3)
        with log.open("a") as file:
            file.write(job["name"])
        print("noise that is no answer")
        return [[float(os.environ.get("OMP_NUM_THREADS", 0) if job.get("tells") else job["value"])]]
    return run

work(prepare)
"""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose workers write down when they run."""
    place = tmp_path / "benchmarks" / "contenders"
    place.mkdir(parents=True)
    shutil.copy(environments.ROOT / "benchmarks" / "contenders" / "worker.py", place)
    (place / "noting.py").write_text(WORKER)
    monkeypatch.setattr(driver.environments, "ROOT", tmp_path)
    return tmp_path


def contender(house: Path, name: str, **job: object) -> Contender:
    """One that notes its name in the folder's log."""
    given = {"log": str(house / "log"), "name": name, "value": 1, **job}
    return Contender(name, "noting", given)


def test_contenders_run_by_turns_in_an_order_that_turns(house: Path) -> None:
    """Each round has every one once, and no one is always first."""
    times = take_turns([contender(house, name) for name in "abc"], {}, 2)
    assert (house / "log").read_text() == "abc" + "abc" + "bca" + "cab"
    assert {name: len(taken) for name, taken in times.seconds.items()} == dict.fromkeys("abc", 2)


def test_who_cannot_be_made_ready_is_told_with_the_reason(house: Path) -> None:
    """The others run."""
    times = take_turns([contender(house, "a"), contender(house, "b", is_broken=True)], {}, 1)
    assert list(times.seconds) == ["a"]
    assert times.could_not_run == {"b": "ValueError: no such model"}


def test_who_dies_on_the_way_is_told_and_stops_nobody(house: Path) -> None:
    """Its figures are not shown, for they are of other rounds."""
    times = take_turns([contender(house, "a"), contender(house, "b", dies=True)], {}, 3)
    assert len(times.seconds["a"]) == 3
    assert "exit code 3" in times.could_not_run["b"]
    assert "b" not in times.seconds


def test_peers_have_nothing_of_this_process_s_thread_plan(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With it they would run on one thread, or wait for each other half of the time."""
    for name, value in THREAD_PLAN.items():
        monkeypatch.setenv(name, value)
    assert not THREAD_PLAN.keys() & plain_environment().keys()
    times = take_turns([contender(house, "a", tells=True)], {}, 1)
    assert times.states["a"] == [[driver.THREADS]]


def test_states_are_held_against_the_reference(house: Path) -> None:
    """Contenders that compute something else are seen."""
    times = take_turns([contender(house, "a"), contender(house, "b", value=3)], {}, 1)
    assert gaps(times, "a") == {"a": 0, "b": 2}


def test_buckets_hold_like_lengths_and_every_row_once() -> None:
    """Padding stays small; the mask says what is real."""
    groups = buckets([9, 2, 5, 3, 7], 2)
    assert groups == [[1, 3, 2], [4, 0]]
    assert padded([[5, 6], [7]]) == ([[5, 6], [7, 0]], [[1, 1], [1, 0]])
