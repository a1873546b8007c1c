"""Messages of the protocol's gRPC form, to and from its JSON with binary tensors."""

from __future__ import annotations

from typing import Any

import orjson
from tritonclient.grpc import service_pb2 as wire

from adapter_runtime import InvalidInput
from serving.protocols.oip_attached import BINARY_SIZE, packed_bytes
from serving.protocols.oip_binary import BINARY_OUTPUT
from serving.protocols.oip_grpc.asking import Reply


def infer_body(request: Any) -> tuple[bytes, int]:
    """A ModelInferRequest as a body, and how many bytes of it are JSON.

    Raises:
        InvalidInput: its raw contents are not one for each input.
    """
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        message = f"{len(raw)} for {len(request.inputs)} inputs; send one for each, or none."
        raise InvalidInput(message, "raw_input_contents")
    raw = raw or [packed_bytes(each.contents.bytes_contents) for each in request.inputs]
    inputs = [
        {
            "name": each.name,
            "datatype": each.datatype,
            "shape": list(each.shape),
            "parameters": parameters_of(each.parameters) | {BINARY_SIZE: len(content)},
        }
        for each, content in zip(request.inputs, raw, strict=True)
    ]
    body: dict[str, Any] = {
        "inputs": inputs,
        "parameters": parameters_of(request.parameters) | {BINARY_OUTPUT: True},
    }
    if request.outputs:
        body["outputs"] = [
            {
                "name": each.name,
                "parameters": parameters_of(each.parameters) | {"binary_data": True},
            }
            for each in request.outputs
        ]
    if request.id:
        body["id"] = request.id
    head = orjson.dumps(body)
    return b"".join((head, *raw)), len(head)


def parameters_of(parameters: Any) -> dict[str, Any]:
    """Parameters by name, whatever type each has."""
    found = {}
    for name, each in parameters.items():
        chosen = each.WhichOneof("parameter_choice")
        found[name] = None if chosen is None else getattr(each, chosen)
    return found


def infer_response(reply: Reply) -> Any:
    """A ModelInferResponse, each output's elements as raw contents."""
    content, attached = reply.content, reply.attached
    response = wire.ModelInferResponse(
        model_name=content["model_name"],
        model_version=content["model_version"],
        id=content["id"],
    )
    begin = 0
    for each in content["outputs"]:
        end = begin + each["parameters"][BINARY_SIZE]
        response.outputs.add(name=each["name"], datatype=each["datatype"], shape=each["shape"])
        response.raw_output_contents.append(attached[begin:end])
        begin = end
    return response


def metadata_response(content: dict[str, Any]) -> Any:
    """A ModelMetadataResponse."""
    tensors = {
        side: [
            wire.ModelMetadataResponse.TensorMetadata(
                name=each["name"], datatype=each["datatype"], shape=each["shape"]
            )
            for each in content[side]
        ]
        for side in ("inputs", "outputs")
    }
    named = {name: content[name] for name in ("name", "versions", "platform")}
    return wire.ModelMetadataResponse(**named, **tensors)
