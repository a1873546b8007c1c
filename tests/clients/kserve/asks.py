"""Asks a server with KServe's client; runs in that client's environment.

Each line of standard input is a question as JSON; the answer goes to standard output, its tensors
as lists, or `{"error": …, "type": …}` where the client raises.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

_CHECKS = ("is_server_live", "is_server_ready", "is_model_ready")


def request_of(asked: dict[str, Any]) -> InferRequest:
    """A request as a user of the client makes it."""
    tensors = []
    for name, texts in asked["inputs"].items():
        array = np.array(texts, dtype=np.object_)
        tensor = InferInput(name, list(array.shape), "BYTES")
        tensor.set_data_from_numpy(array, binary_data=asked["is_binary"])
        tensors.append(tensor)
    parameters = asked.get("parameters")
    return InferRequest(asked["model"], tensors, asked.get("id"), parameters=parameters)


def shown(response: Any) -> dict[str, Any]:
    """A response as JSON."""
    outputs = {
        each.name: np.vectorize(text_of)(each.as_numpy()).tolist() for each in response.outputs
    }
    return {"id": response.id, "version": response.model_version, "outputs": outputs}


def text_of(element: Any) -> Any:
    """Texts as such, numbers as they are."""
    return element.decode() if isinstance(element, bytes) else element


async def answer(asked: dict[str, Any]) -> Any:
    """What the client says to one question."""
    model, call, headers = asked["model"], asked["call"], asked.get("headers", {})
    named = [model] if call == "is_model_ready" else []
    if asked["over"] == "grpc":
        async with InferenceGRPCClient(asked["place"]) as client:
            if call in _CHECKS:
                return await getattr(client, call)(*named)
            return shown(await client.infer(request_of(asked), headers=tuple(headers.items())))
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        if call in _CHECKS:
            return await getattr(client, call)(asked["place"], *named)
        request = request_of(asked)
        return shown(await client.infer(asked["place"], request, model, headers=headers))


async def main() -> None:
    """One answer for each line."""
    for line in sys.stdin:
        try:
            found = await answer(json.loads(line))
        except grpc.aio.AioRpcError as error:
            found = {"error": error.details(), "type": error.code().name}
        except httpx.HTTPStatusError as error:
            found = {"error": str(error), "type": error.response.status_code}
        print(json.dumps(found), flush=True)  # noqa: T201 - read through a pipe


if __name__ == "__main__":
    logging.disable()  # the client writes each refusal down with its stack
    asyncio.run(main())
