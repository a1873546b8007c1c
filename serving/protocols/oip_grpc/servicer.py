"""The protocol's calls over gRPC."""

from __future__ import annotations

from typing import Any

import grpc
import orjson
from tritonclient.grpc import service_pb2 as wire

from adapter_runtime import InvalidInput
from serving.protocols.oip_grpc.asking import Asker, accepted
from serving.protocols.oip_grpc.messages import (
    infer_body,
    infer_response,
    metadata_response,
    parameters_of,
)

_SERVICE = "inference.GRPCInferenceService"
_METHODS = {
    "ServerLive": "server_live",
    "ServerReady": "server_ready",
    "ServerMetadata": "server_metadata",
    "ModelReady": "model_ready",
    "ModelMetadata": "model_metadata",
    "ModelInfer": "model_infer",
    "RepositoryIndex": "repository_index",
    "RepositoryModelLoad": "load",
    "RepositoryModelUnload": "unload",
}
_NOT_READY = (404, 410, 503)


class OipServicer:
    """The calls that are answered; all others are UNIMPLEMENTED.

    Args:
        asker: of the application.
    """

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def methods(self) -> Any:
        """The calls, for a server of gRPC."""
        found = {
            name: grpc.unary_unary_rpc_method_handler(
                getattr(self, method),
                request_deserializer=getattr(wire, f"{name}Request").FromString,
                response_serializer=getattr(wire, f"{name}Response").SerializeToString,
            )
            for name, method in _METHODS.items()
        }
        return grpc.method_handlers_generic_handler(_SERVICE, found)

    async def server_live(self, _: Any, context: Any) -> Any:
        """Whether the device computes."""
        live = await self._is_fine(context, "/v2/health/live")
        return wire.ServerLiveResponse(live=live)

    async def server_ready(self, _: Any, context: Any) -> Any:
        """Whether new requests are best sent here."""
        ready = await self._is_fine(context, "/v2/health/ready")
        return wire.ServerReadyResponse(ready=ready)

    async def server_metadata(self, _: Any, context: Any) -> Any:
        """The server's name, release and extensions."""
        return wire.ServerMetadataResponse(**await self._asker.content(context, "GET", "/v2"))

    async def model_ready(self, request: Any, context: Any) -> Any:
        """Whether a request would be answered, be it after loading."""
        path = await _path(context, request.name, request.version)
        return wire.ModelReadyResponse(ready=await self._is_fine(context, f"{path}/ready"))

    async def model_metadata(self, request: Any, context: Any) -> Any:
        """A model's versions and tensors."""
        path = await _path(context, request.name, request.version)
        return metadata_response(await self._asker.content(context, "GET", path))

    async def model_infer(self, request: Any, context: Any) -> Any:
        """Answer each row of the input tensors."""
        path = await _path(context, request.model_name, request.model_version)
        try:
            body, length = infer_body(request)
        except InvalidInput as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        reply = await self._asker.ask(context, "POST", f"{path}/infer", body, length)
        return infer_response(await accepted(reply, context))

    async def repository_index(self, request: Any, context: Any) -> Any:
        """All models, or those that are ready."""
        body = orjson.dumps({"ready": request.ready})
        models = await self._asker.content(context, "POST", "/v2/repository/index", body)
        return wire.RepositoryIndexResponse(
            models=[wire.RepositoryIndexResponse.ModelIndex(**each) for each in models]
        )

    async def load(self, request: Any, context: Any) -> Any:
        """Bring a model onto the device."""
        await self._change(request, context, "load")
        return wire.RepositoryModelLoadResponse()

    async def unload(self, request: Any, context: Any) -> Any:
        """Take a model's weights out of memory."""
        await self._change(request, context, "unload")
        return wire.RepositoryModelUnloadResponse()

    async def _change(self, request: Any, context: Any, action: str) -> None:
        await _path(context, request.model_name, "")
        path = f"/v2/repository/models/{request.model_name}/{action}"
        names = dict.fromkeys(parameters_of(request.parameters))  # values may be whole files
        await self._asker.content(context, "POST", path, orjson.dumps({"parameters": names}))

    async def _is_fine(self, context: Any, path: str) -> bool:
        reply = await self._asker.ask(context, "GET", path)
        if reply.status in _NOT_READY:
            return False
        await accepted(reply, context)
        return True


async def _path(context: Any, name: str, version: str) -> str:
    """A model's path; names that would lead to another one end the call."""
    for each in (name, version or "1"):
        if not each or "/" in each:
            message = (
                f"{each!r:.60} is no model and no version; RepositoryIndex lists what there is."
            )
            await context.abort(grpc.StatusCode.NOT_FOUND, message)
    return f"/v2/models/{name}/versions/{version}" if version else f"/v2/models/{name}"
