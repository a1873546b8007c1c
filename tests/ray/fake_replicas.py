"""Replicas without Ray: services in this process, asked with values that have been pickled."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from deploy.ray_serve.relaying import told
from serving.service import Service


@dataclass
class FakeReplicas:
    """Implements `Replicas`; requests go to the first service.

    Args:
        services: one per replica.
        raises: raised by the next tries, one after another, before or instead of any work.
        begins: whether the work of a lost try has been done all the same.
        hangs: whether the replicas as a whole do not answer in time.
    """

    services: list[Service]
    raises: list[Exception] = field(default_factory=list)
    begins: bool = False
    hangs: bool = False
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    gate: asyncio.Event | None = None

    async def ask(self, method: str, *args: Any) -> Any:
        """As `Replicas.ask`."""
        self.asked.append((method, *args))
        try:
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(method)
            raise
        if self.raises:
            if self.begins:
                await self._run(self.services[0], method, args)
            raise self.raises.pop(0)
        return await self._run(self.services[0], method, args)

    async def ask_all(self, method: str, *args: Any, within_s: float) -> list[Any] | None:
        """As `Replicas.ask_all`."""
        self.asked.append((f"all:{method}", *args))
        if self.hangs:
            return None
        return [await self._run(service, method, args) for service in self.services]

    async def _run(self, service: Service, method: str, args: tuple[Any, ...]) -> Any:
        given = pickle.loads(pickle.dumps(args))
        answer = await told(_method(service, method)(*given))
        return pickle.loads(pickle.dumps(answer))

    def methods(self) -> list[str]:
        """What was asked, in order."""
        return [each[0] for each in self.asked]


def _method(service: Service, name: str) -> Callable[..., Any]:
    if name == "vitals":
        return lambda: _vitals(service)
    if name == "names":
        return lambda: _names(service)
    if name == "look":
        return _look
    owner = service if name in ("answer", "tasks", "task", "check") else service.life_cycle
    found: Callable[..., Any] = getattr(owner, name)
    return found


async def _vitals(service: Service) -> dict[str, Any]:
    return {"is_warm": service.is_warm, "facts": {"device": "fake"}}


async def _names(service: Service) -> list[str]:
    return [view.name for view in await service.tasks()]


async def _look() -> None:
    """The fakes share their tasks."""
