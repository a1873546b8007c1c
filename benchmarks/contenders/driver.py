"""Contenders as processes that take turns: one works, the others wait.

Every round runs every contender, in an order that turns, so that a busy neighbour slows all of
them alike; a ratio is the median over rounds of the times in the same round.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.contenders import environments
from benchmarks.processes import plain_environment
from serving.opening import THREAD_PLAN

THREADS = 2
_QUIET = {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore",
    "OMP_NUM_THREADS": str(THREADS),
    # As our engine sets them by itself: without them a peer in a process of its own takes a third
    # longer, because each page of its states is cleared and mapped anew.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
}

_OURS = {**THREAD_PLAN, "OMP_NUM_THREADS": str(THREADS)}
"""As our server sets it; peers wait as they do by themselves, which suits their threads better."""


_REST_S = 0.1
"""Before each turn: threads of the one before may wait for more work by spinning, for a while."""


class DidNotRun(Exception):
    """A contender that could not be made ready, or that ended."""


@dataclass(frozen=True)
class Contender:
    """What to start.

    Args:
        name: as the report prints it.
        module: its worker, in `benchmarks.contenders`.
        job: what the worker gets, beside what all of a question's contenders get.
        environment: whose Python runs it; None for this one.
    """

    name: str
    module: str
    job: Mapping[str, Any] = field(default_factory=dict)
    environment: str | None = None


class Worker:
    """A contender that runs."""

    def __init__(self, contender: Contender, job: Mapping[str, Any]) -> None:
        python = sys.executable
        if contender.environment is not None:
            python = str(_python(contender.environment))
        self.process = subprocess.Popen(
            [python, "-m", f"benchmarks.contenders.{contender.module}"],
            cwd=environments.ROOT,
            env={**plain_environment(), **_QUIET, **(_OURS if contender.module == "ours" else {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            self.states = self._ask(json.dumps({**job, **contender.job}))["states"]
        except DidNotRun:
            self.close()
            raise

    def run(self, count: int) -> list[float]:
        """Seconds of some runs, measured inside."""
        found: list[float] = self._ask(str(count))["seconds"]
        return found

    def _ask(self, line: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self.process.stdout.readline()
        if not answer:
            raise DidNotRun(f"it ended with exit code {self.process.wait(30)}; see above.")
        found: dict[str, Any] = json.loads(answer)
        if "error" in found:
            raise DidNotRun(found["error"])
        return found

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


def _python(environment: str) -> Path:
    try:
        environments.build(environment)
    except subprocess.CalledProcessError as error:
        raise DidNotRun(f"its environment could not be built ({error}).") from error
    return environments.folder(environment) / "bin" / "python"


@dataclass(frozen=True)
class Times:
    """What a question's contenders took.

    Args:
        seconds: of each contender, one figure a round.
        states: each row's mean final state, where a contender gives it.
        could_not_run: the others, and why.
    """

    seconds: Mapping[str, Sequence[float]]
    states: Mapping[str, Sequence[Sequence[float]] | None]
    could_not_run: Mapping[str, str]


@contextmanager
def _workers(
    contenders: Sequence[Contender], job: Mapping[str, Any], missing: dict[str, str]
) -> Iterator[dict[str, Worker]]:
    with ExitStack() as stack:
        found = {}
        for contender in contenders:
            try:
                found[contender.name] = Worker(contender, job)
            except DidNotRun as error:
                missing[contender.name] = str(error)
                print(f"{contender.name} could not run: {error}", file=sys.stderr)
            else:
                stack.callback(found[contender.name].close)
        yield found


def take_turns(contenders: Sequence[Contender], job: Mapping[str, Any], rounds: int) -> Times:
    """Run all contenders on one job, by turns.

    Args:
        contenders: in the order of the first round.
        job: rows and what else all of them share.
        rounds: that count; one before warms up.
    """
    missing: dict[str, str] = {}
    with _workers(contenders, job, missing) as workers:
        seconds: dict[str, list[float]] = {name: [] for name in workers}
        for turn in range(rounds + 1):
            for name in _turned(list(workers), turn):
                time.sleep(_REST_S)
                try:
                    taken = workers[name].run(1) if name not in missing else []
                except DidNotRun as error:
                    missing[name] = str(error)
                    continue
                seconds[name] += taken if turn else []
        states = {name: worker.states for name, worker in workers.items()}
    whole = {name: taken for name, taken in seconds.items() if name not in missing}
    return Times(whole, states, missing)


def _turned(names: list[str], turn: int) -> list[str]:
    shift = turn % max(1, len(names))
    return names[shift:] + names[:shift]


def gaps(times: Times, reference: str) -> dict[str, float]:
    """The largest difference of any row's mean state from the reference's, by contender."""
    exact = times.states.get(reference)
    found = {}
    for name, states in times.states.items():
        if exact and states:
            found[name] = max(
                abs(one - other)
                for row, expected in zip(states, exact, strict=True)
                for one, other in zip(row, expected, strict=True)
            )
    return found
