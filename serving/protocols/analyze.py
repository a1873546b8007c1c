"""`POST /v1/analyze`: one input, many tasks, each with its answer or its error."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, replace
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from adapter_runtime import InvalidInput
from serving.admission.deadlines import HEADER, deadline_s
from serving.errors import Refusal, refusal
from serving.logs import request_id_var
from serving.observing import Observer
from serving.protocols.analyze_openapi import ANALYZE, ANALYZE_RESPONSES
from serving.protocols.answering import (
    answer_headers,
    counting_refusals,
    is_patient,
    while_connected,
)
from serving.protocols.hub import shape
from serving.protocols.wire import (
    json_response,
    read_body,
    read_object,
    refusal_content,
    refusal_response,
)
from serving.service import Answer, Call, Service
from serving.settings import Settings

_EXAMPLE = '{"inputs": "some text", "tasks": ["sentiment", "topic"]}'
_MEMBERS = ("inputs", "tasks", "parameters")
_ASKED = ("task", "version", "parameters")
_OF_ONE_TASK = frozenset({"x-task-version", "x-adapter-residency"})
Outcome = Answer | BaseException


class AnalyzeProtocol:
    """One body to a Call for each task that it names, their outcomes to one answer.

    Args:
        service: answers; it checks each Call by itself.
        settings: body, task and time limits.
        observer: counts bodies that never reach the service.
    """

    def __init__(self, service: Service, settings: Settings, observer: Observer) -> None:
        self._service = service
        self._settings = settings
        self._observer = observer

    def routes(self) -> APIRouter:
        """The protocol's route."""
        router = APIRouter(prefix="/v1", tags=["tasks"], default_response_class=Response)
        router.add_api_route(
            "/analyze",
            self.analyze,
            methods=["POST"],
            responses=ANALYZE_RESPONSES,
            openapi_extra=ANALYZE,
        )
        return router

    async def analyze(self, request: Request) -> Response:
        """Answer one input, or a list of inputs, with several tasks."""
        with counting_refusals(self._observer):
            body = read_object(await read_body(request, self._settings.max_body_bytes), _EXAMPLE)
            calls = self._calls(body, request)
        outcomes = await while_connected(self._ask(calls), request)
        return _response(calls, outcomes)

    async def _ask(self, calls: Sequence[Call]) -> list[Outcome]:
        """What each Call comes to; all are asked before any is waited for."""
        asked = (self._service.answer(call) for call in calls)
        return await asyncio.gather(*asked, return_exceptions=True)

    def _calls(self, body: dict[str, Any], request: Request) -> list[Call]:
        for name in body:
            if name not in _MEMBERS:
                raise InvalidInput(f"unknown member; {', '.join(_MEMBERS)} are expected.", name)
        if "inputs" not in body:
            raise InvalidInput("is missing; the body needs it.", "inputs")
        asked = _asked_tasks(body.get("tasks"), self._settings.max_analyze_tasks)
        inputs, parameters = body["inputs"], _parameters(body, "parameters")
        is_list = isinstance(inputs, list)
        num_answers, most = len(asked) * (len(inputs) if is_list else 1), self._settings.max_items
        if num_answers > most:
            message = f"times tasks are {num_answers} answers; ask for at most {most} at once."
            raise InvalidInput(message, "inputs")
        common = Call(
            task="",
            items=inputs if is_list else [inputs],
            request_id=request_id_var.get(),
            deadline_s=deadline_s(request.headers.get(HEADER), self._settings.default_deadline_s),
            is_list=is_list,
            waits=is_patient(request.headers),
            # No secret: only Calls that come at once and from one place are ever put together.
            group=f"{random.getrandbits(64):016x}" if len(asked) > 1 else "",
        )
        return [
            replace(common, task=task, version=version, parameters={**parameters, **own})
            for task, (version, own) in asked.items()
        ]


def _asked_tasks(tasks: Any, most: int) -> dict[str, tuple[str | None, dict[str, Any]]]:
    """Version and parameters by the task's name; one that is named twice alike counts once."""
    if not isinstance(tasks, list) or not tasks:
        raise InvalidInput("expected a list of at least one task's name.", "tasks")
    if len(tasks) > most:
        raise InvalidInput(f"names {len(tasks)} tasks; send at most {most} at once.", "tasks")
    found: dict[str, tuple[str | None, dict[str, Any]]] = {}
    for number, member in enumerate(tasks):
        name, asked = _asked_task(member, f"tasks[{number}]")
        if found.setdefault(name, asked) != asked:
            raise InvalidInput("names a task again, and asks otherwise.", f"tasks[{number}]")
    return found


def _asked_task(member: Any, place: str) -> tuple[str, tuple[str | None, dict[str, Any]]]:
    if isinstance(member, str):
        member = {"task": member}
    if not isinstance(member, dict) or not member.keys() <= set(_ASKED):
        raise InvalidInput(f"expected a name, or an object with {', '.join(_ASKED)}.", place)
    name, version = member.get("task"), member.get("version")
    if not isinstance(name, str) or not name:
        raise InvalidInput("expected the name of a task.", f"{place}.task")
    if version is not None and (not isinstance(version, str) or not version):
        raise InvalidInput("expected the id of one version.", f"{place}.version")
    return name, (version, _parameters(member, f"{place}.parameters"))


def _parameters(holder: Mapping[str, Any], place: str) -> dict[str, Any]:
    found = holder.get("parameters")
    if found is not None and not isinstance(found, dict):
        raise InvalidInput("must be an object.", place)
    return found or {}


def _response(calls: Sequence[Call], outcomes: Sequence[Outcome]) -> Response:
    """All outcomes; where there is no answer among them, with the first error's status."""
    refusals = [refusal(each) for each in outcomes if isinstance(each, BaseException)]
    results = dict(_results(calls, outcomes))
    answers = [each for each in outcomes if isinstance(each, Answer)]
    if not answers:
        return refusal_response(refusals[0], {"results": results})
    return json_response({"results": results}, headers=_headers(answers))


def _results(
    calls: Sequence[Call], outcomes: Sequence[Outcome]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for call, outcome in zip(calls, outcomes, strict=True):
        if isinstance(outcome, Answer):
            yield call.task, _answered(call, outcome)
        else:
            yield call.task, _refused(refusal(outcome))


def _answered(call: Call, answer: Answer) -> dict[str, Any]:
    timing = answer.timing
    return {
        "outputs": shape(answer, call),
        "kind": answer.kind,
        "version": answer.version,
        "residency": answer.residency,
        "truncated": answer.truncated,
        "num_tokens": answer.num_tokens,
        "batch_tokens": answer.batch_tokens,
        "batch_tasks": answer.batch_tasks,
        "encode_ms": round(1000 * timing.encode_s, 2),
        "queue_ms": round(1000 * timing.queue_s, 2),
        "load_ms": round(1000 * timing.load_s, 2),
        "inference_ms": round(1000 * timing.compute_s, 2),
    }


def _refused(refused: Refusal) -> dict[str, Any]:
    return {**refusal_content(refused), "status": refused.status}


def _headers(answers: Sequence[Answer]) -> dict[str, str]:
    """Those of the slowest answer that are about no task of its own."""
    slowest = max(answers, key=lambda answer: sum(astuple(answer.timing)))
    told = replace(slowest, truncated=any(answer.truncated for answer in answers))
    found = answer_headers(told)
    return {name: value for name, value in found.items() if name not in _OF_ONE_TASK}
