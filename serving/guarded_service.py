"""A Service that holds every Call against its caller's key, whatever the protocol."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from adapter_runtime import PolyheadError, UnknownTask
from serving.admission.gate import Gate
from serving.admission.keys import Key
from serving.admission.scopes import ADMIN, METRICS, PREDICT, READ
from serving.callers import caller_var
from serving.errors import DeadlineExceeded
from serving.recent import Batch
from serving.service import Answer, Call, LifeCycle, Service
from serving.task_labels import OTHER, UNKNOWN
from serving.views import TaskView

Shown = Callable[[str, Sequence[str]], tuple[bytes, str]]
_TASK = re.compile(rb'[{,]task="([^"]*)"')
_COMMON = (UNKNOWN.encode(), OTHER.encode())


class GuardedService:
    """Checks actions, tasks and quotas, and books what is used.

    It names each of the Service's members, so that what comes to the Service later is not open
    before somebody has thought about it.

    Args:
        service: does the work.
        gate: knows the keys.
    """

    def __init__(self, service: Service, gate: Gate) -> None:
        self._service = service
        self._gate = gate
        self.life_cycle: LifeCycle = GuardedLifeCycle(service, gate)

    async def start(self) -> None:
        """Follow the keys file, and get ready."""
        self._gate.keys.start()
        await self._service.start()

    def stop(self) -> None:
        """Answer what is inside, then end. Blocks."""
        self._service.stop()
        self._gate.keys.stop()

    async def answer(self, call: Call) -> Answer:
        """Answer one Call of a key that may ask it now.

        Raises:
            Unauthorized, Forbidden, QuotaExceeded: it may not, or not now.
            PolyheadError: the Call cannot be answered.
        """
        key, reserved = self._enter(call)
        caller = caller_var.get()
        asked = replace(call, caller=key.name, priority=caller.priority, weight=key.weight)
        spent = reserved
        try:
            with shown_to(key, call.task):
                answer = await self._service.answer(asked)
            spent = answer.num_tokens
        except (DeadlineExceeded, asyncio.CancelledError):
            self._gate.usage.refused(key.name, call.task)  # who gives up may have had the work done
            raise
        except Exception:
            spent = 0.0
            self._gate.usage.refused(key.name, call.task)
            raise
        finally:
            self._gate.allowances.leave(key, id(caller), reserved, spent)
        self._gate.usage.answered(key.name, call.task, answer.num_tokens)
        return answer

    def _enter(self, call: Call) -> tuple[Key, float]:
        gate, name = self._gate, caller_var.get().name
        try:
            key = gate.key_for(call.task, PREDICT)
            return key, gate.allowances.enter(key, id(caller_var.get()), call)
        except PolyheadError as error:
            gate.refused(error)
            if name in gate.keys.ring.by_name:
                gate.usage.refused(name, call.task)
            raise

    async def tasks(self) -> Sequence[TaskView]:
        """The tasks that the key may name."""
        key = self._gate.key(READ)
        return [view for view in await self._service.tasks() if key.may_name(view.name)]

    async def task(self, name: str) -> TaskView:
        """One task.

        Raises:
            Unauthorized, Forbidden: the key may not see it.
            UnknownTask: there is none of that name.
        """
        key = self._gate.key_for(name, READ)
        with shown_to(key, name):
            return await self._service.task(name)

    async def batches(self, last: int) -> Sequence[Batch]:
        """The last batches; of their tasks those that the key may name."""
        key = self._gate.key(METRICS)
        return [_seen_batch(key, batch) for batch in await self._service.batches(last)]

    @property
    def is_draining(self) -> bool:
        """Whether new Calls are refused."""
        return self._service.is_draining

    @property
    def is_warm(self) -> bool:
        """Whether what was to be loaded at start has been, or has failed."""
        return self._service.is_warm

    @property
    def num_inside(self) -> int:
        """Calls admitted and not yet answered."""
        return self._service.num_inside

    async def check(self) -> None:
        """Return if the device computes; probes show no key."""
        await self._service.check()

    def drain(self) -> None:
        """Refuse everything new from now on; what is inside goes on."""
        self._service.drain()

    def measure(self) -> None:
        """Set the gauges to what is true now. Any thread."""
        self._service.measure()


class GuardedLifeCycle:
    """Changes tasks that the key of the request may name and administer.

    Args:
        service: whose tasks.
        gate: knows the keys.
    """

    def __init__(self, service: Service, gate: Gate) -> None:
        self._service = service
        self._gate = gate

    async def put(self, name: str, entry: Mapping[str, Any], expected: str | None = None) -> bool:
        """As `LifeCycle.put`."""
        with self._open(name) as tasks:
            return await tasks.put(name, entry, expected)

    async def delete(
        self, name: str, version: str | None = None, expected: str | None = None
    ) -> None:
        """As `LifeCycle.delete`."""
        with self._open(name) as tasks:
            await tasks.delete(name, version, expected)

    async def act(self, name: str, version: str, action: str, expected: str | None = None) -> None:
        """As `LifeCycle.act`."""
        with self._open(name) as tasks:
            await tasks.act(name, version, action, expected)

    async def set_traffic(
        self,
        name: str,
        weights: Mapping[str, float] | None,
        shadow: Sequence[str],
        expected: str | None = None,
    ) -> None:
        """As `LifeCycle.set_traffic`."""
        with self._open(name) as tasks:
            await tasks.set_traffic(name, weights, shadow, expected)

    @contextmanager
    def _open(self, name: str) -> Iterator[LifeCycle]:
        with shown_to(self._gate.key_for(name, ADMIN), name):
            yield self._service.life_cycle


@contextmanager
def shown_to(key: Key, task: str) -> Iterator[None]:
    """Leaves names that a key may not see out of what the block raises.

    Args:
        key: who is told.
        task: what was asked for.

    Raises:
        UnknownTask: there is no such task; names similar ones that the key may see.
    """
    try:
        yield
    except UnknownTask as error:
        if key.sees_all:
            raise
        raise UnknownTask(task, tuple(filter(key.may_name, error.near))) from None


def guarded_metrics(shown: Shown, gate: Gate) -> Shown:
    """Metrics without the series of tasks that the key of the request may not name.

    Args:
        shown: metrics in the format that a client accepts, and its type.
        gate: knows the keys.
    """

    def only_visible(accept: str, names: Sequence[str]) -> tuple[bytes, str]:
        key = gate.key(METRICS)
        content, media_type = shown(accept, names)
        if not key.sees_all:
            lines = content.splitlines(keepends=True)
            content = b"".join(line for line in lines if _may_see(key, line))
        return content, media_type

    return only_visible


def _may_see(key: Key, line: bytes) -> bool:
    found = _TASK.search(line)
    return found is None or found[1] in _COMMON or key.may_name(found[1].decode())


def _seen_batch(key: Key, batch: Batch) -> Batch:
    return replace(batch, tasks=tuple(filter(key.may_name, batch.tasks)))
