"""Copies of answered requests for other versions, beside the traffic and never in its way.

What copies say is counted in the versions' `Traffic` here; who hears of it must not count it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from adapter_runtime import Kind, TaskVersion
from serving.lifecycle.judging.agreement import agree, asked
from serving.lifecycle.judging.rollback import is_fault
from serving.lifecycle.live.task import Task
from serving.lifecycle.live.version import Version
from serving.service import Call

log = logging.getLogger(__name__)

Aside = Callable[[TaskVersion, Call], Awaitable[tuple[Any, ...]]]
"""Answers a Call with this version, whichever the Call names, at low priority and without a permit.

It raises on failure, and records nothing in the version's `Traffic`: `Shadows` does.
"""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a copy goes, and whom it speaks for or against.

    Args:
        version: answers the copy.
        judged: its traffic gets the comparisons. Of a shadow it is the one that answers the copy.
            Of a canary it is the newer one of the two that are compared, as a rule the canary
            itself, which answered the client, while the copy goes to the heaviest version.
        is_shadow: which of the two; a shadow's traffic also gets its answers and failures.
    """

    version: TaskVersion
    judged: Version
    is_shadow: bool

    def answered(self, took_s: float) -> None:
        """The copy was answered: a shadow has no other requests, others are counted elsewhere."""
        if self.is_shadow:
            self.judged.traffic.answered(took_s)

    def failed(self) -> None:
        """The copy failed by the fault of the version that answered it."""
        if self.is_shadow:
            self.judged.traffic.failed()


@dataclass(frozen=True, slots=True)
class Heard:
    """Who hears what became of copies, once the judged version's traffic has it.

    All are called on the event loop: for metrics, and to look whether the rollback rule trips.

    Args:
        compared: an item's two answers were held against each other, and whether they agreed.
        failed: the copy failed by the fault of the version that answered it.
        skipped: nothing was compared; the word says why: `busy`, `full`, or `refused` (by the
            input's fault, the deadline, or the server's state).
    """

    compared: Callable[[Target, bool], None]
    failed: Callable[[Target, Exception], None]
    skipped: Callable[[Target, str], None]


class Shadows:
    """Runs copies as tasks of the event loop; every method belongs to that loop.

    Inputs and answers are dropped with their copy, and never logged.

    Args:
        aside: answers copies.
        heard: takes what became of them.
        max_inside: copies at a time; more are skipped.
        is_busy: says that the queue is long, so that copies are skipped.
    """

    def __init__(
        self, aside: Aside, heard: Heard, max_inside: int, is_busy: Callable[[], bool]
    ) -> None:
        self._aside = aside
        self._heard = heard
        self._max_inside = max_inside
        self._is_busy = is_busy
        self._running: set[asyncio.Task[None]] = set()
        self._is_closed = False

    @property
    def num_inside(self) -> int:
        """Copies that are being answered."""
        return len(self._running)

    def offer(
        self,
        call: Call,
        kind: Kind,
        outputs: Sequence[Any],
        version_from: str,
        targets: Sequence[Target],
    ) -> None:
        """Copy an answered Call to other versions; returns at once and never raises.

        Args:
            call: as it was answered.
            kind: of the answer.
            outputs: one per item.
            version_from: id of the version that answered; no target of that id gets a copy.
            targets: where to.
        """
        for target in targets:
            if not self._is_closed and target.version.id != version_from:
                try:
                    self._start(target, call, kind, outputs)
                except Exception as error:
                    _tell(target, error)

    def _start(self, target: Target, call: Call, kind: Kind, outputs: Sequence[Any]) -> None:
        if len(self._running) >= self._max_inside:
            self._heard.skipped(target, "full")
        elif self._is_busy():
            self._heard.skipped(target, "busy")
        else:
            loop = asyncio.get_running_loop()
            running = loop.create_task(self._follow(target, call, kind, outputs), name="copy")
            self._running.add(running)
            running.add_done_callback(self._running.discard)

    async def _follow(self, target: Target, call: Call, kind: Kind, outputs: Sequence[Any]) -> None:
        try:
            found = await self._answers(target, call)
            if found is not None:
                await self._compare(target, call, kind, list(zip(outputs, found, strict=True)))
        except Exception as error:
            _tell(target, error)

    async def _answers(self, target: Target, call: Call) -> tuple[Any, ...] | None:
        """The copy's answers; None where it has none, which is told."""
        clock = asyncio.get_running_loop().time
        started_s = clock()
        limit = asyncio.timeout(call.deadline_s)
        try:
            async with limit:
                found = await self._aside(target.version, call)
        except Exception as error:
            if limit.expired() or not is_fault(error):
                self._heard.skipped(target, "refused")
            else:
                target.failed()
                self._heard.failed(target, error)
            return None
        target.answered(clock() - started_s)
        return found

    async def _compare(
        self, target: Target, call: Call, kind: Kind, answers: Sequence[tuple[Any, Any]]
    ) -> None:
        num_labels = len(target.version.labels) or None
        for item, (one, other) in zip(call.items, answers, strict=True):
            what = asked(kind, item)
            is_same_kind = asked(target.version.kind, item) is what
            agreed = is_same_kind and agree(what, one, other, num_labels)
            target.judged.traffic.compared(agreed)
            self._heard.compared(target, agreed)
            await asyncio.sleep(0)  # a long list of vectors must not hold the event loop

    async def close(self) -> None:
        """Drop all copies and take no more."""
        self._is_closed = True
        running = list(self._running)
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def targets_of(task: Task, answered: Version) -> list[Target]:
    """Where copies of a request go that a version of the task answered; under the Tasks' lock.

    To every shadow; and where the task's rule looks at disagreement, from a version that shares
    the traffic without being the heaviest (of equals: the oldest) to the one that is. Answers of
    versions outside the traffic, which a client asked for by id, are not copied.
    """
    shares = task.serving()
    if answered not in shares:
        return []
    found = [
        Target(shadow.prepared, judged=shadow, is_shadow=True)
        for shadow in task.shadows()
        if shadow.prepared is not None
    ]
    rule = task.plan.rollback if task.plan else None
    if rule is None or rule.disagreement is None:
        return found
    heaviest = max(shares, key=shares.__getitem__)
    if answered is not heaviest and heaviest.prepared is not None:
        newer = max(answered, heaviest, key=task.versions.index)
        found.append(Target(heaviest.prepared, judged=newer, is_shadow=False))
    return found


def _tell(target: Target, error: Exception) -> None:
    # Only the kind of error: its message might quote the input.
    log.error("A copy for %s was lost: %s", target.version.task, type(error).__name__)
