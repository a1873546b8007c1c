"""The Open Inference Protocol v2 over REST, as KServe, MLServer and Triton clients speak it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from adapter_runtime import InvalidInput
from serving.admission.deadlines import HEADER, deadline_s
from serving.errors import ClientGone, Refusal, StillLoading
from serving.logs import request_id_var
from serving.observing import UNKNOWN, Observer
from serving.protocols.answering import (
    answer_headers,
    answer_while_connected,
    asked_version,
    is_patient,
)
from serving.protocols.answers import refuse_while_draining
from serving.protocols.describe import standing
from serving.protocols.oip_attached import Attached
from serving.protocols.oip_binary import LENGTH, Forms, read_forms, split_body, tensors_response
from serving.protocols.oip_inputs import has_unknown_name, items_of
from serving.protocols.oip_metadata import model_metadata, server_metadata
from serving.protocols.oip_openapi import INFER_RESPONSES, PATH_VERSION, errors, infer
from serving.protocols.oip_outputs import read_requested, tensors_of
from serving.protocols.oip_tensors import read_scalars, read_tensors
from serving.protocols.openapi import VERSION, success
from serving.protocols.shaped import shaped_by
from serving.protocols.wire import json_response, read_body, read_object, refusal_headers
from serving.service import Call, Service
from serving.settings import Settings

_EXAMPLE = '{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["A text"]}]}'
_TO_SERVERS = (("content_type", "str"),)
"""Parameters that clients add by themselves and that change nothing here."""
_RETRY_S = 1.0
_STATUSES = {422: 400}
"""Where peers of this protocol answer otherwise than the rest of this server."""


def oip_refusal(refused: Refusal) -> Response:
    """A refusal as the protocol states it, with Retry-After where another try may succeed."""
    status = _STATUSES.get(refused.status, refused.status)
    return json_response({"error": refused.message}, status, refusal_headers(refused))


OipRoute = shaped_by(oip_refusal)
"""A route whose errors have the protocol's shape: `{"error": "..."}`."""


class OipProtocol:
    """Tensors to Calls, Answers to tensors, tasks as models.

    Args:
        service: answers.
        settings: body and time limits.
        observer: counts bodies that never reach the service.
        release: the server's, for its metadata.
    """

    def __init__(
        self, service: Service, settings: Settings, observer: Observer, release: str
    ) -> None:
        self._service = service
        self._settings = settings
        self._observer = observer
        self._release = release

    def routes(self) -> APIRouter:
        """The protocol's routes."""
        router = APIRouter(
            prefix="/v2",
            tags=["open inference protocol"],
            route_class=OipRoute,
            default_response_class=Response,
        )
        add = router.add_api_route
        add("", self.metadata, responses=success("Name, release and extensions.") | errors())
        add("/health/live", self.live, responses=success("It computes.") | errors(503))
        add("/health/ready", self.ready, responses=success("It takes requests.") | errors(503))
        add("/models", self.models, responses=success("The names of all models.") | errors())
        one = "/models/{model}"
        for path, versions in ((one, VERSION), (one + "/versions/{version}", PATH_VERSION)):
            asked: dict[str, Any] = {"parameters": versions}
            shown = success("The model.") | errors(400, 404, 410)
            add(path, self.model, responses=shown, openapi_extra=asked)
            able = success("It answers.") | errors(400, 404, 410, 503)
            add(path + "/ready", self.model_ready, responses=able, openapi_extra=asked)
            extra = infer(versions)
            add(
                path + "/infer",
                self.infer,
                methods=["POST"],
                responses=INFER_RESPONSES,
                openapi_extra=extra,
            )
        return router

    async def metadata(self) -> Response:
        """The server's name, release and extensions."""
        return json_response(server_metadata(self._release))

    async def live(self) -> Response:
        """200 for as long as the device computes; 503 where only a restart can help."""
        await self._service.check()
        return json_response({"live": True})

    async def ready(self) -> Response:
        """200 when new requests are best sent here; 503 while warming up and while stopping."""
        refuse_while_draining(self._service)
        if not self._service.is_warm:
            raise StillLoading("Pinned tasks are still loading; ask again soon.", _RETRY_S)
        return json_response({"ready": True})

    async def models(self) -> Response:
        """The names of all models, ready or not."""
        return json_response({"models": [view.name for view in await self._service.tasks()]})

    async def model(self, model: str, request: Request) -> Response:
        """A model's versions and tensors."""
        view = await self._service.task(model)
        return json_response(model_metadata(view, _version(request)))

    async def model_ready(self, model: str, request: Request) -> Response:
        """200 when the model answers, be it after loading; 503 when it does not."""
        found = standing(await self._service.task(model), _version(request))
        refuse_while_draining(self._service)
        if found.is_able:
            return json_response({"name": model, "ready": True})
        message = f"{model} does not answer, it is {found.state}: {found.reason or 'no reason'}"
        return oip_refusal(Refusal(503, found.state, message, found.retry_s))

    async def infer(self, model: str, request: Request) -> Response:
        """Answer each row of the input tensors with a task."""
        try:
            whole = await read_body(request, self._settings.max_body_bytes)
            stated, attached = split_body(whole, request.headers.get(LENGTH))
            body = read_object(stated, _EXAMPLE)
            call, requested, forms = await self._call(model, body, attached, request)
            id = _id(body)
        except ClientDisconnect:
            gone = ClientGone("The client left before its request was complete.")
            self._observer.refused(UNKNOWN, gone)
            raise gone from None
        except Exception as error:
            self._observer.refused(UNKNOWN, error)
            raise
        answer = await answer_while_connected(self._service, call, request)
        content = {
            "model_name": model,
            "model_version": answer.version,
            "id": call.request_id if id is None else id,
        }
        tensors = tensors_of(answer, call.items, requested)
        return tensors_response(content, tensors, forms, answer_headers(answer))

    async def _call(
        self, model: str, body: dict[str, Any], attached: Attached, request: Request
    ) -> tuple[Call, tuple[str, ...], Forms]:
        """What is asked, the names of the outputs that are wanted, and how they travel."""
        if "inputs" not in body:
            raise InvalidInput("is missing; the body needs it.", "inputs")
        tensors = read_tensors(body["inputs"], attached)
        parameters = read_scalars(body.get("parameters"), "parameters")
        requested = read_requested(body.get("outputs"))
        forms = read_forms(body.get("outputs"), parameters)
        headers = request.headers
        limit_s = deadline_s(headers.get(HEADER), self._settings.default_deadline_s)
        version = _version(request)
        is_odd = has_unknown_name(tensors)
        kind = (await self._service.task(model)).kind if is_odd else None
        items = items_of(tensors, kind)
        call = Call(
            task=model,
            items=items,
            parameters=_for_heads(parameters),
            request_id=request_id_var.get(),
            deadline_s=limit_s,
            is_list=len(items) > 1,
            waits=is_patient(headers),
            version=version,
        )
        return call, requested, forms


def _for_heads(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if (name, value) not in _TO_SERVERS}


def _id(body: dict[str, Any]) -> str | None:
    id = body.get("id")
    if id is not None and not isinstance(id, str):
        raise InvalidInput("must be a string; it comes back with the answer.", "id")
    return id


def _version(request: Request) -> str | None:
    """The version in the path, or in the query; None leaves it to the task."""
    named: str | None = request.path_params.get("version")
    asked = asked_version(request)
    if named is not None and asked not in (None, named):
        raise InvalidInput("is another than the path's; leave it out.", "version")
    return asked if named is None else named
