"""The Service of an ingress: replicas do the work."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

from deploy.ray_serve.changes import RemoteLifeCycle
from deploy.ray_serve.handles import Replicas, no_replicas
from deploy.ray_serve.merging import merge, merge_all
from deploy.ray_serve.relaying import ReplicaLost, unpack
from deploy.ray_serve.retrying import Lost, Patience, again
from serving.admission.deadlines import late
from serving.errors import Draining, Refusal, ServerBusy, StillLoading
from serving.lifecycle.admitting.waiting import draining
from serving.metrics import Recorder
from serving.observing import UNKNOWN, Observer
from serving.recent import Batch
from serving.service import Answer, Call, LifeCycle
from serving.views import TaskView

log = logging.getLogger(__name__)
_GRACE_S = 0.25
"""A replica's own word on the deadline is better than ours, and comes a little later."""
_VIEW_S = 5.0
_CHECK_S = 15.0
_FIRST_LOOK_S = 2.0
_LOOK_AROUND_S = 1.0
_FORGET_EVERY = 30
_RETRY_AFTER_S = 1.0


class RemoteService:
    """Implements `Service` over replicas; every request goes to the best replica of its task.

    Args:
        replicas: are asked.
        recorder: takes what clients see: requests, errors, whole times, repeated tries.
        patience: how often predictions are tried when replicas are lost.

    Attributes:
        life_cycle: changes the tasks, on all replicas.
        facts: what the replicas tell of themselves, for `/info`.
    """

    life_cycle: LifeCycle

    def __init__(
        self, replicas: Replicas, recorder: Recorder, patience: Patience | None = None
    ) -> None:
        self._replicas = replicas
        self._recorder = recorder
        self._observer = Observer(recorder)
        self._patience = patience or Patience()
        self.life_cycle = RemoteLifeCycle(
            replicas, self._patience, self._tried_again, lambda: self._num_up > 0
        )
        self.facts: dict[str, object] = {"num_replicas": 0}
        self._num_up = 0
        self._answering: set[str] = set()
        self._num_inside = 0
        self._num_warm = 0
        self._is_draining = False
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look for the replicas, now and from now on, on the running event loop."""
        await self.look_around(_FIRST_LOOK_S)
        self._watch = asyncio.ensure_future(self._keep_looking())

    def drain(self) -> None:
        """Refuse everything new from now on."""
        self._is_draining = True

    def stop(self) -> None:
        """Take nothing more; what is inside ends with its connection."""
        self.drain()
        if self._watch is not None:
            self._watch.cancel()

    @property
    def is_draining(self) -> bool:
        """Whether new Calls are refused."""
        return self._is_draining

    @property
    def is_warm(self) -> bool:
        """Whether a replica has what was to be loaded at start."""
        return self._num_warm > 0

    @property
    def num_inside(self) -> int:
        """Calls taken and not yet answered."""
        return self._num_inside

    def measure(self) -> None:
        """Say whether it is ready; what is inside and waits is told by the replicas."""
        self._observer.open(self.is_warm and not self._is_draining)

    async def answer(self, call: Call) -> Answer:
        """Answer one Call; a cancelled one is cancelled on its replica."""
        started_s = time.monotonic()
        self._num_inside += 1
        try:
            answer = await self._answer(call, started_s)
        except (Exception, asyncio.CancelledError) as error:
            self._observer.refused(self._label(call.task), error)
            raise
        finally:
            self._num_inside -= 1
        self._answering.add(call.task)
        self._recorder.add("polyhead_requests_total", call.task, "200")
        self._recorder.observe("polyhead_request_seconds", time.monotonic() - started_s, call.task)
        return answer

    async def _answer(self, call: Call, started_s: float) -> Answer:
        if self._is_draining:
            raise draining()
        if not call.waits and not self.is_warm:
            raise StillLoading("No replica is up yet; try again soon.", _RETRY_AFTER_S)
        until_s = started_s + call.deadline_s
        left = call

        async def ask() -> Any:
            nonlocal left
            now_s = time.monotonic()
            if now_s - started_s > _GRACE_S:  # an earlier try has used some of the time
                left = replace(call, deadline_s=max(0.001, until_s - now_s))
            answer = await self._replicas.ask("answer", left)
            if isinstance(answer, Refusal) and answer.code == Draining.code:
                raise Lost("the replica is stopping")
            return answer

        async with _deadline(call.deadline_s):
            answer: Answer = unpack(await self._try(ask, until_s))
        return answer

    async def _try(self, ask: Any, until_s: float) -> Any:
        try:
            return await again(ask, self._patience, until_s, self._tried_again)
        except Lost as error:
            raise ReplicaLost(
                "Every replica that worked on it was lost; send the request again.",
                _RETRY_AFTER_S,
            ) from error

    def _tried_again(self) -> None:
        self._recorder.add("polyhead_retries_total")

    def _label(self, task: str) -> str:
        """A task that has answered here is one; anything else may be what a client made up."""
        return task if task in self._answering else UNKNOWN

    async def tasks(self) -> Sequence[TaskView]:
        """All tasks of all replicas."""
        told = await self._replicas.ask_all("tasks", within_s=_VIEW_S) or []
        answers = [each for each in told if not isinstance(each, Refusal)]
        if not answers:
            answers = [await self._ask("tasks")]
        # A thousand tasks of many replicas take a while to merge: requests go on meanwhile.
        return await asyncio.to_thread(merge_all, answers)

    async def task(self, name: str) -> TaskView:
        """One task, as all replicas together see it."""
        told = await self._replicas.ask_all("task", name, within_s=_VIEW_S) or []
        views = [each for each in told if isinstance(each, TaskView)]
        if views:
            return merge(views)
        view: TaskView = unpack(told[0]) if told else await self._ask("task", name)
        return view

    async def batches(self, last: int) -> Sequence[Batch]:
        """The last batches of all replicas, the newest first; lanes say which replica's."""
        told = await self._replicas.ask_all("batches", last, within_s=_VIEW_S)
        if told is None:
            raise ServerBusy("A replica took too long to tell; try again.", _RETRY_AFTER_S)
        if not told:
            raise no_replicas()
        found = sorted((each for some in told for each in some), key=lambda each: -each.began_s)
        return found[:last]

    async def _ask(self, method: str, *args: Any) -> Any:
        """One replica's answer, with tries and a limit."""
        if not self._num_up:
            raise no_replicas()
        until_s = time.monotonic() + _VIEW_S
        async with _deadline(_VIEW_S):
            return unpack(await self._try(lambda: self._replicas.ask(method, *args), until_s))

    async def check(self) -> None:
        """Return if the device of any replica computes.

        Raises:
            DeviceFailed: none does.
            ServerBusy: there is none.
        """
        if not self._num_up:
            raise no_replicas()
        with suppress(Lost, TimeoutError):
            async with asyncio.timeout(_CHECK_S):
                if not isinstance(await self._replicas.ask("check"), Refusal):
                    return
        told = await self._replicas.ask_all("check", within_s=_CHECK_S)
        if not told:
            raise no_replicas()
        if all(isinstance(each, Refusal) for each in told):
            unpack(told[0])

    async def _keep_looking(self) -> None:
        for turn in itertools.count(1):
            await asyncio.sleep(_LOOK_AROUND_S)
            try:
                await self.look_around(_VIEW_S)
                if turn % _FORGET_EVERY == 0 and self._num_up:
                    await self.forget()
            except Exception:
                log.exception("Looking after the replicas met an unexpected error and goes on")

    async def forget(self) -> None:
        """Drop what was measured for tasks that are gone: labels are few."""
        present = set(await self._ask("names"))
        self._answering &= present
        self._recorder.keep(dict.fromkeys(present, ()))

    async def look_around(self, within_s: float) -> None:
        """Take over what the replicas tell of themselves.

        Args:
            within_s: longest wait for them, in seconds.
        """
        told = await self._replicas.ask_all("vitals", within_s=within_s)
        if told is None:  # one that hangs, or all are busy: they have not gone
            return
        self._num_up = len(told)
        self.facts["num_replicas"] = self._num_up
        self._num_warm = sum(bool(each["is_warm"]) for each in told)
        for each in told[:1]:
            self.facts.update(each["facts"])
        self.measure()


@asynccontextmanager
async def _deadline(seconds: float) -> AsyncIterator[None]:
    """Raises DeadlineExceeded when the time is up, and ends what is still under way."""
    try:
        async with asyncio.timeout(seconds + _GRACE_S):
            yield
    except TimeoutError:
        raise late(seconds) from None
