"""The Hugging Face inference protocol: `POST /models/{task}` and the descriptions beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from adapter_runtime import InvalidInput, Kind
from serving.admission.deadlines import HEADER, deadline_s
from serving.errors import ClientGone
from serving.logs import request_id_var
from serving.observing import UNKNOWN, Observer
from serving.protocols.answering import (
    answer_headers,
    answer_while_connected,
    asked_version,
    is_patient,
)
from serving.protocols.answers import task_response, version_response
from serving.protocols.describe import describe, describe_as, find_version, standing
from serving.protocols.openapi import ANSWER_RESPONSES, PREDICT, VERSION, errors, success
from serving.protocols.tei_wire import tei_info
from serving.protocols.wire import error_response, json_response, read_body, read_object
from serving.service import Answer, Call, Service
from serving.settings import Settings

_LISTED = frozenset({Kind.TEXT_CLASSIFICATION, Kind.FEATURE_EXTRACTION})
"""Kinds whose answer is a list with one member per input even when the input is no list."""
_HOSTED_OPTIONS = frozenset({"wait_for_model", "use_cache"})


class HubProtocol:
    """Hugging Face bodies to Calls, Answers to what `huggingface_hub.InferenceClient` reads.

    Args:
        service: answers.
        settings: body and time limits.
        observer: counts bodies that never reach the service.
    """

    def __init__(self, service: Service, settings: Settings, observer: Observer) -> None:
        self._service = service
        self._settings = settings
        self._observer = observer

    def routes(self) -> APIRouter:
        """The protocol's routes."""
        router = APIRouter(tags=["tasks"], default_response_class=Response)
        path, add = "/models/{task}", router.add_api_route
        add(path, self.predict, methods=["POST"], openapi_extra=PREDICT, responses=ANSWER_RESPONSES)
        asked: dict[str, Any] = {"parameters": VERSION}
        shown = success("The task.") | errors(404, 410, 422, 424)
        add(path, self.describe, responses=shown, openapi_extra=asked)
        add(path + "/info", self.info, responses=shown, openapi_extra=asked)
        able = success("It answers.") | errors(404, 410, 422)
        able[503] = {"description": "It does not answer; the reason is given."}
        add(path + "/health", self.health, responses=able, openapi_extra=asked)
        return router

    async def predict(self, task: str, request: Request) -> Response:
        """Answer one input or a list of inputs with a task."""
        try:
            body = read_object(await read_body(request, self._settings.max_body_bytes))
            call = self._call(task, body, request)
        except ClientDisconnect:
            gone = ClientGone("The client left before its request was complete.")
            self._observer.refused(UNKNOWN, gone)
            return error_response(gone)
        except Exception as error:
            self._observer.refused(UNKNOWN, error)
            return error_response(error)
        try:
            answer = await answer_while_connected(self._service, call, request)
        except Exception as error:
            return error_response(error)
        return json_response(shape(answer, call), headers=answer_headers(answer))

    async def describe(self, task: str, request: Request) -> Response:
        """What a task is: kind, labels, versions, limits, residency, digest."""
        view, id = await self._service.task(task), asked_version(request)
        if id is None:
            return task_response(view)
        version = find_version(view, id)
        return version_response(task, version, describe_as(view, version))

    async def info(self, task: str, request: Request) -> Response:
        """What a task is, and the same in the words of Text Embeddings Inference."""
        view, id = await self._service.task(task), asked_version(request)
        version = None if id is None else find_version(view, id)
        told = describe(view) if version is None else describe_as(view, version)
        return json_response({**tei_info(view, version, self._settings), **told})

    async def health(self, task: str, request: Request) -> Response:
        """200 when the task answers, be it after loading; 503 when it does not."""
        found = standing(await self._service.task(task), asked_version(request))
        is_ready = found.is_able and not self._service.is_draining
        content = {"ready": is_ready, "state": found.state, "reason": found.reason}
        return json_response(content, 200 if is_ready else 503)

    def _call(self, task: str, body: dict[str, Any], request: Request) -> Call:
        if "inputs" not in body:
            raise InvalidInput("is missing; the body needs it.", "inputs")
        inputs = body.pop("inputs")
        waits = _waits(body, request.headers)
        is_list = isinstance(inputs, list)
        return Call(
            task=task,
            items=inputs if is_list else [inputs],
            parameters=_parameters(body),
            request_id=request_id_var.get(),
            deadline_s=deadline_s(request.headers.get(HEADER), self._settings.default_deadline_s),
            is_list=is_list,
            waits=waits,
            version=asked_version(request),
        )


class DirectPredict:
    """Hands predictions to the protocol and everything else to the application behind it.

    The framework's layers around a route cost more than all of our own work for a request; they
    still serve every other route, and describe this one.

    Args:
        protocol: answers predictions.
        app: answers the rest.
    """

    def __init__(self, protocol: HubProtocol, app: ASGIApp) -> None:
        self._protocol = protocol
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        task = predicted_task(scope)
        if task is None:
            await self._app(scope, receive, send)
            return
        response = await self._protocol.predict(task, Request(scope, receive))
        await response(scope, receive, send)


def predicted_task(scope: Scope) -> str | None:
    """The task of `POST /models/{task}`, None for any other event."""
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    prefix, _, task = scope["path"].partition("/models/")
    return task if task and not prefix and "/" not in task else None


def shape(answer: Answer, call: Call) -> Any:
    """The answer's outputs as the client's method for this kind reads them."""
    if call.is_list or (answer.kind in _LISTED and not _is_comparison(call.items[0])):
        return answer.outputs
    return answer.outputs[0]


def _is_comparison(inputs: Any) -> bool:
    """Whether an embedding task is asked how alike sentences are; its answer is one flat list."""
    return isinstance(inputs, dict) and "source_sentence" in inputs


def _parameters(body: dict[str, Any]) -> dict[str, Any]:
    """`parameters` and what stands beside it: feature extraction sends its parameters flat."""
    nested = body.pop("parameters", None)
    if nested is None:
        return body
    if not isinstance(nested, dict):
        raise InvalidInput("must be an object.", "parameters")
    for name in body:
        if name in nested:
            raise InvalidInput("is given twice, inside `parameters` and beside it.", name)
    return {**body, **nested} if body else nested


def _waits(body: dict[str, Any], headers: Mapping[str, str]) -> bool:
    """Whether to wait for a cold task; the hosted API's `options` are taken out of the body."""
    options = body.pop("options", None)
    if options is None:
        options = {}
    if not isinstance(options, dict) or not options.keys() <= _HOSTED_OPTIONS:
        raise InvalidInput("must be an object with wait_for_model or use_cache.", "options")
    in_body = options.get("wait_for_model", True) is not False
    return in_body and is_patient(headers)
