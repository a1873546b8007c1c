"""OpenAI's models and embeddings, as its own client speaks them."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from adapter_runtime import InvalidInput, Kind
from serving.errors import Refusal
from serving.observing import Observer
from serving.protocols.answering import (
    answer_headers,
    answer_while_connected,
    asked,
    counting_refusals,
)
from serving.protocols.openai_openapi import EMBED, EMBED_RESPONSES, MODEL, MODELS
from serving.protocols.shaped import shaped_by
from serving.protocols.wire import json_response, read_body, read_object, refusal_headers
from serving.service import Answer, Call, Service
from serving.settings import Settings
from serving.views import TaskView

_EXAMPLE = '{"model": "embed", "input": "A text."}'
_STATUSES = {422: 400}
"""Where OpenAI answers otherwise than the rest of this server."""
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_FORMATS = ("float", "base64")
_VECTORS = (Kind.FEATURE_EXTRACTION, Kind.SENTENCE_SIMILARITY)
_OWNER = "polyhead"


def openai_refusal(refused: Refusal) -> Response:
    """A refusal as the protocol states it, with Retry-After where another try may succeed."""
    status = _STATUSES.get(refused.status, refused.status)
    fault = "server_error" if status >= 500 else "invalid_request_error"
    error = {
        "message": refused.message,
        "type": _TYPES.get(status, fault),
        "param": None,
        "code": "model_not_found" if refused.code == "unknown_task" else refused.code,
    }
    return json_response({"error": error}, status, refusal_headers(refused))


class OpenAIProtocol:
    """Tasks as models, vectors as embeddings.

    Args:
        service: answers.
        settings: body and time limits.
        observer: counts bodies that never reach the service.
        facts: of the server; `backbone` is every model's parent.
    """

    def __init__(
        self,
        service: Service,
        settings: Settings,
        observer: Observer,
        facts: Mapping[str, object],
    ) -> None:
        self._service = service
        self._settings = settings
        self._observer = observer
        self._facts = facts
        self._created = int(time.time())

    def routes(self) -> APIRouter:
        """The protocol's routes."""
        router = APIRouter(
            prefix="/v1",
            tags=["openai"],
            route_class=shaped_by(openai_refusal),
            default_response_class=Response,
        )
        add = router.add_api_route
        add("/models", self.models, responses=MODELS)
        add("/models/{model}", self.model, responses=MODEL)
        add(
            "/embeddings",
            self.embeddings,
            methods=["POST"],
            responses=EMBED_RESPONSES,
            openapi_extra=EMBED,
        )
        return router

    async def models(self) -> Response:
        """All tasks, ready or not, as models."""
        found = [self._card(view) for view in await self._service.tasks()]
        return json_response({"object": "list", "data": found})

    async def model(self, model: str) -> Response:
        """One task as a model."""
        return json_response(self._card(await self._service.task(model)))

    async def embeddings(self, request: Request) -> Response:
        """A vector for each text, by a task that makes vectors."""
        with counting_refusals(self._observer):
            body = read_object(await read_body(request, self._settings.max_body_bytes), _EXAMPLE)
            encoding = _encoding(body)
            call = self._call(body, request)
        answer = await answer_while_connected(self._service, call, request)
        return json_response(_vectors(answer, call, encoding), headers=answer_headers(answer))

    def _card(self, view: TaskView) -> dict[str, Any]:
        adapter = next((each.adapter for each in view.versions if each.id == view.version), None)
        return {
            "id": view.name,
            "object": "model",
            "created": self._created,
            "owned_by": _OWNER,
            "root": adapter if isinstance(adapter, str) else view.name,
            "parent": self._facts.get("backbone"),
        }

    def _call(self, body: dict[str, Any], request: Request) -> Call:
        model, given = body.pop("model", None), body.pop("input", None)
        body.pop("user", None)
        if not isinstance(model, str) or not model:
            raise InvalidInput("expected the name of a task.", "model")
        is_list = isinstance(given, list)
        return asked(request, self._settings, model, _texts(given), body, is_list)


def _encoding(body: dict[str, Any]) -> str:
    found = body.pop("encoding_format", None) or _FORMATS[0]
    if found not in _FORMATS:
        raise InvalidInput(f"expected {' or '.join(_FORMATS)}.", "encoding_format")
    return str(found)


def _texts(given: Any) -> list[str]:
    texts = given if isinstance(given, list) else [given]
    if not texts or not all(isinstance(text, str) for text in texts):
        message = (
            "expected a text or a list of texts; token ids are not taken, for tokens are made "
            "here (langchain: check_embedding_ctx_length=False)."
        )
        raise InvalidInput(message, "input")
    return texts


def _vectors(answer: Answer, call: Call, encoding: str) -> dict[str, Any]:
    if answer.kind not in _VECTORS:
        raise InvalidInput(f"{call.task!r:.60} answers {answer.kind}, no vectors.", "model")
    data = [
        {"object": "embedding", "index": index, "embedding": _written(vector, encoding)}
        for index, vector in enumerate(answer.outputs)
    ]
    usage = {"prompt_tokens": answer.num_tokens, "total_tokens": answer.num_tokens}
    return {"object": "list", "data": data, "model": call.task, "usage": usage}


def _written(vector: Sequence[float], encoding: str) -> Sequence[float] | str:
    if encoding == "float":
        return vector
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()
