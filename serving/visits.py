"""What the service made of one HTTP request, for its access log line and its trace."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, cast

from serving.callers import caller_var
from serving.service import Answer, Call, Service

_MAX_NAMES = 4


@dataclass(slots=True)
class Visit:
    """One HTTP request while it is served; belongs to the event loop.

    Args:
        trace_id: of its trace, 32 hexadecimal digits; empty where there is none.
        calls: what was asked of the service.
        answers: what that has got, in the order of the answers.
        error: what the last Call that was refused has met.
    """

    trace_id: str = ""
    calls: list[Call] = field(default_factory=list)
    answers: list[tuple[Call, Answer]] = field(default_factory=list)
    error: BaseException | None = None

    def facts(self) -> dict[str, Any]:
        """What an access log line says of it, beside its status."""
        told: dict[str, Any] = {}
        if self.calls:
            told["task"] = _listed([call.task for call in self.calls])
        if caller_var.get().name:
            told["key"] = caller_var.get().name
        if self.answers:
            answers = [answer for _, answer in self.answers]
            told["version"] = _listed([answer.version for answer in answers])
            told["queue_ms"] = round(1000 * max(each.timing.queue_s for each in answers), 2)
            told["tokens"] = sum(each.num_tokens for each in answers)
        return told


visit_var: ContextVar[Visit | None] = ContextVar("visit", default=None)


def visited(service: Service) -> Service:
    """A service that notes what it is asked and answers on the visit that asks."""
    return cast(Service, _Visited(service))


class _Visited:
    def __init__(self, service: Service) -> None:
        self._service = service

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    async def answer(self, call: Call) -> Answer:
        visit = visit_var.get()
        if visit is None:
            return await self._service.answer(call)
        if visit.trace_id:
            call = replace(call, trace_id=visit.trace_id)
        visit.calls.append(call)
        try:
            answer = await self._service.answer(call)
        except (Exception, asyncio.CancelledError) as error:
            visit.error = error
            raise
        visit.answers.append((call, answer))
        return answer


def _listed(names: list[str]) -> str:
    """Distinct names, the first few of them."""
    found = list(dict.fromkeys(names))
    more = [f"and {len(found) - _MAX_NAMES} more"] if len(found) > _MAX_NAMES else []
    return ",".join(found[:_MAX_NAMES] + more)
