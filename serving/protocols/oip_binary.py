"""Binary tensors of the Open Inference Protocol: bytes that follow the JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from starlette.responses import Response

from adapter_runtime import InvalidInput
from serving.protocols.oip_attached import BINARY_SIZE, Attached, packed_texts
from serving.protocols.oip_tensors import BYTES, FP32, INT64, Tensor
from serving.protocols.wire import json_response

LENGTH = "inference-header-content-length"
_OCTETS = "application/octet-stream"
_DTYPES = {FP32: "<f4", INT64: "<i8"}
BINARY_OUTPUT = "binary_data_output"


@dataclass(frozen=True, slots=True)
class Forms:
    """How outputs travel.

    Args:
        of_all: whether an output is binary of which nothing else is said.
        by_name: whether the others are.
    """

    of_all: bool
    by_name: Mapping[str, bool]

    def is_binary(self, name: str) -> bool:
        """Whether an output goes as bytes rather than as JSON."""
        return self.by_name.get(name, self.of_all)


def split_body(body: bytes, length: str | None) -> tuple[bytes, Attached]:
    """The JSON of a body, and what follows it.

    Args:
        body: all of it.
        length: bytes of the JSON, as the header says; None: all are.

    Raises:
        InvalidInput: the header is no such number.
    """
    if length is None:
        return body, Attached(b"")
    is_number = length.isascii() and length.isdigit() and len(length) <= len(str(len(body)))
    if not is_number or int(length) > len(body):
        message = f"expected how many of the body's {len(body)} bytes are JSON, not {length!r:.40}."
        raise InvalidInput(message, LENGTH)
    return body[: int(length)], Attached(body[int(length) :])


def read_forms(outputs: Any, parameters: dict[str, Any]) -> Forms:
    """What `binary_data_output` and each output's `binary_data` say.

    Args:
        outputs: of the request, known to be right otherwise.
        parameters: of the request; what it says of outputs is taken out, for heads know nothing
            of it.

    Raises:
        InvalidInput: one is no Boolean.
    """
    of_all = _flag(parameters.pop(BINARY_OUTPUT, None), f"parameters.{BINARY_OUTPUT}")
    by_name: dict[str, bool] = {}
    for number, each in enumerate(outputs or ()):
        place = f"outputs[{number}].parameters.binary_data"
        flag = _flag((each.get("parameters") or {}).get("binary_data"), place)
        by_name |= {} if flag is None else {each["name"]: flag}
    return Forms(bool(of_all), by_name)


def _flag(value: Any, place: str) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise InvalidInput("expected true or false.", place)
    return value


def tensors_response(
    content: dict[str, Any], tensors: Sequence[Tensor], forms: Forms, headers: Mapping[str, str]
) -> Response:
    """An answer: JSON, or JSON and the bytes of those outputs that travel so.

    Args:
        content: of the answer, without its outputs.
        tensors: the outputs.
        forms: how each travels.
        headers: of the response.
    """
    stated, attached = [], []
    for tensor in tensors:
        if forms.is_binary(tensor.name):
            attached.append(packed(tensor))
            stated.append(_stated(tensor, len(attached[-1])))
        else:
            stated.append(tensor.as_json())
    content["outputs"] = stated
    if not attached:
        return json_response(content, headers=headers)
    head = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    body = b"".join((head, *attached))
    return Response(body, headers={**headers, LENGTH: str(len(head))}, media_type=_OCTETS)


def _stated(tensor: Tensor, size: int) -> dict[str, Any]:
    stated = tensor.as_json() | {"parameters": {BINARY_SIZE: size}}
    del stated["data"]
    return stated


def packed(tensor: Tensor) -> bytes:
    """A tensor's elements as bytes: numbers in little endian, each text behind its length."""
    if tensor.datatype != BYTES:
        return np.asarray(tensor.data, _DTYPES[tensor.datatype]).tobytes()
    return packed_texts(tensor.data)
