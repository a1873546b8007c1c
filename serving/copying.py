"""Copies of answered requests, from the service to a task's other versions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from adapter_runtime import TaskVersion
from serving.lifecycle.judging.judge import Judge
from serving.lifecycle.judging.shadow import Heard, Shadows, Target, targets_of
from serving.lifecycle.live.tasks import Tasks
from serving.lifecycle.live.version import Version
from serving.observing import Observer
from serving.service import Answer, Call

_MAX_INSIDE = 64

Aside = Callable[[Version, TaskVersion, Call], Awaitable[Answer]]
"""Answers a Call with this version at low priority, without a permit."""


class Copies:
    """Gives copies to shadows and canaries, and has them judged; belongs to the event loop.

    Args:
        tasks: the live tasks.
        judge: hears of comparisons.
        observer: takes the measurements.
        aside: answers copies.
        is_busy: says that the queue is long, so that copies are dropped.
    """

    def __init__(
        self,
        tasks: Tasks,
        judge: Judge,
        observer: Observer,
        aside: Aside,
        is_busy: Callable[[], bool],
    ) -> None:
        self._tasks = tasks
        self._judge = judge
        self._observer = observer
        self._aside = aside
        heard = Heard(self._compared, self._failed, self._skipped)
        self._shadows = Shadows(self._answer, heard, _MAX_INSIDE, is_busy)

    def offer(self, call: Call, version: Version, answer: Answer) -> None:
        """Copy an answered Call; the copies run when the client has its answer."""
        with self._tasks.lock:
            if call.task not in self._tasks:
                return
            task = self._tasks.find(call.task)
            targets = targets_of(task, version) if len(task.versions) > 1 else []
        if targets:
            self._shadows.offer(call, answer.kind, answer.outputs, answer.version, targets)

    def close(self) -> None:
        """Drop all copies and take no more."""
        loop = asyncio.get_running_loop()
        self._closing = loop.create_task(self._shadows.close(), name="close-copies")

    async def _answer(self, prepared: TaskVersion, call: Call) -> tuple[Any, ...]:
        with self._tasks.use_again(prepared) as version:
            outputs = (await self._aside(version, prepared, call)).outputs
            self._observer.copied(version.task, str(version.id))
            return outputs

    def _compared(self, target: Target, agreed: bool) -> None:
        self._observer.compared(target.judged.task, str(target.judged.id), agreed)
        self._judge.look(target.judged)

    def _failed(self, target: Target, _: Exception) -> None:
        version = self._tasks.live(target.version)
        if version is not None:
            self._observer.copied(version.task, str(version.id), has_failed=True)
        self._judge.look(target.judged)

    def _skipped(self, target: Target, _: str) -> None:
        self._observer.shadow_dropped(target.judged.task)
