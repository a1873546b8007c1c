"""Text Embeddings Inference's routes: below each task, and at the root for one task.

Source: https://huggingface.github.io/text-embeddings-inference (router/src/http).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from adapter_runtime import InvalidInput, Kind, PolyheadError
from serving.errors import refusal
from serving.observing import Observer
from serving.protocols.answering import (
    answer_headers,
    answer_while_connected,
    asked,
    counting_refusals,
    refuse_others,
)
from serving.protocols.shaped import shaped_by
from serving.protocols.tei_openapi import POST_ROUTES
from serving.protocols.tei_wire import (
    embed_asked,
    predict_asked,
    rerank_asked,
    similarity_asked,
    tei_headers,
    tei_info,
    tei_refusal,
)
from serving.protocols.wire import json_response, read_body, read_object
from serving.service import Answer, Call, Service
from serving.settings import Settings

_VECTORS = (Kind.FEATURE_EXTRACTION, Kind.SENTENCE_SIMILARITY)
_GIVES: Mapping[str, tuple[Kind, ...]] = {
    "embed": _VECTORS,
    "similarity": _VECTORS,
    "predict": (Kind.TEXT_CLASSIFICATION,),
    "rerank": (Kind.TEXT_RANKING,),
}
"""Kinds of tasks that answer a route."""
_READS = {
    "embed": embed_asked,
    "similarity": similarity_asked,
    "predict": predict_asked,
    "rerank": rerank_asked,
}
_EXAMPLES = {
    "embed": '{"inputs": "some text"}',
    "similarity": '{"inputs": {"source_sentence": "a", "sentences": ["b"]}}',
    "predict": '{"inputs": "some text"}',
    "rerank": '{"query": "some text", "texts": ["a", "b"]}',
}
TeiRoute = shaped_by(tei_refusal)


class TeiProtocol:
    """Each task as a server of its own, whose address is `/models/{task}`.

    Args:
        service: answers.
        settings: body and time limits; which task, if any, answers at the root.
        observer: counts bodies that never reach the service.
    """

    def __init__(self, service: Service, settings: Settings, observer: Observer) -> None:
        self._service = service
        self._settings = settings
        self._observer = observer

    def routes(self) -> APIRouter:
        """The protocol's routes; those at the root only where a task is named for them."""
        router = APIRouter(
            tags=["text embeddings inference"],
            route_class=TeiRoute,
            default_response_class=Response,
        )
        for name, (extra, responses) in POST_ROUTES.items():
            ask: dict[str, Any] = {
                "methods": ["POST"],
                "openapi_extra": extra,
                "responses": responses,
            }
            below, at_root = self._asking(name)
            router.add_api_route(f"/models/{{task}}/{name}", below, name=name, **ask)
            # The root's /rerank is shared with other protocols, which look at the body first.
            if self._settings.default_task is not None and name != "rerank":
                router.add_api_route(f"/{name}", at_root, name=f"{name} of the default", **ask)
        return router

    async def rerank(self, body: dict[str, Any], request: Request) -> Response:
        """What `/rerank` at the root answers to a body with `texts`."""
        try:
            with counting_refusals(self._observer):
                call = self._call("rerank", self._default_task(), body, request)
            return await self._answered("rerank", call, request)
        except Exception as error:
            return tei_refusal(refusal(error))

    async def about_default(self) -> Mapping[str, object]:
        """What `/info` at the root says of the task that answers there; nothing without one."""
        if self._settings.default_task is None:
            return {}
        try:
            view = await self._service.task(self._settings.default_task)
        except (
            PolyheadError
        ):  # not there yet, or not this key's: the server is told of all the same
            return {}
        return tei_info(view, None, self._settings)

    def _default_task(self) -> str:
        task = self._settings.default_task
        if task is None:
            message = "asks no task here: use /models/{task}/rerank, or serve with --default-task."
            raise InvalidInput(message, "texts")
        return task

    def _asking(self, name: str) -> tuple[Any, Any]:
        async def below(task: str, request: Request) -> Response:
            return await self._ask(name, task, request)

        async def at_root(request: Request) -> Response:
            return await self._ask(name, self._default_task(), request)

        below.__doc__ = at_root.__doc__ = f"`/{name}` as Text Embeddings Inference has it."
        return below, at_root

    async def _ask(self, name: str, task: str, request: Request) -> Response:
        with counting_refusals(self._observer):
            content = await read_body(request, self._settings.max_body_bytes)
            call = self._call(name, task, read_object(content, _EXAMPLES[name]), request)
        return await self._answered(name, call, request)

    def _call(self, name: str, task: str, body: dict[str, Any], request: Request) -> Call:
        items, parameters, is_list = _READS[name](body)
        return asked(request, self._settings, task, items, parameters, is_list)

    async def _answered(self, name: str, call: Call, request: Request) -> Response:
        try:
            answer = await answer_while_connected(self._service, call, request)
        except InvalidInput:
            # Of another kind's task, what its head says of the input would lead astray.
            refuse_others((await self._service.task(call.task)).kind, call.task, _GIVES[name])
            raise
        refuse_others(answer.kind, call.task, _GIVES[name])
        headers = answer_headers(answer) | tei_headers(answer, call)
        return json_response(_content(name, call, answer), headers=headers)


def _content(name: str, call: Call, answer: Answer) -> Any:
    """Vectors always in a list; one prediction, ranking or comparison bare."""
    is_many = name == "embed" or call.is_list
    return answer.outputs if is_many else answer.outputs[0]
