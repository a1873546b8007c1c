"""OpenAPI details of the Open Inference Protocol's routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serving.protocols.openapi import ANSWER_RESPONSES, VERSION, Responses, headers

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string", "description": "One sentence with the remedy."}},
}
_STATUSES: Mapping[int, str] = {
    400: "The body, a tensor, an input or a parameter is wrong; the place is named.",
    404: "No such model or version; similar names are listed.",
    410: "The version is retired.",
    413: "The body is too large.",
    415: "The body is compressed.",
    424: "The version's files were rejected; the reasons are listed.",
    429: "The server is full; see Retry-After.",
    503: "It does not answer now; see Retry-After where another try may succeed.",
    504: "The deadline passed.",
}
_PARAMETERS = {
    "type": "object",
    "additionalProperties": {"type": ["string", "number", "boolean"]},
}


def errors(*statuses: int) -> Responses:
    """The error answers of a route, in the protocol's shape."""
    texts: dict[int | str, str] = {status: _STATUSES[status] for status in statuses}
    texts["default"] = "Any other error."
    content = {"application/json": {"schema": _ERROR}}
    return {status: {"description": text, "content": content} for status, text in texts.items()}


def _tensor(data: Mapping[str, Any], *datatypes: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}},
            "datatype": {"type": "string", "enum": list(datatypes)},
            "parameters": _PARAMETERS
            | {"description": "`binary_data_size`: bytes behind the JSON that stand for data."},
            "data": data,
        },
    }


_TEXTS = {
    "type": "array",
    "description": "Texts, flat or nested as the shape says.",
    "items": {},
}
_REQUEST = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string", "description": "Comes back with the answer."},
        "parameters": {**_PARAMETERS, "description": "Parameters of the task's kind."},
        "inputs": {"type": "array", "minItems": 1, "items": _tensor(_TEXTS, "BYTES")},
        "outputs": {
            "type": "array",
            "description": "The outputs to give, in order; without it all.",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "parameters": _PARAMETERS},
            },
        },
    },
}
_VALUES = {"type": "array", "items": {"type": ["string", "number", "integer"]}}
_ANSWER = {
    "type": "object",
    "required": ["model_name", "model_version", "id", "outputs"],
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string", "description": "Id of the version that answered."},
        "id": {"type": "string"},
        "outputs": {"type": "array", "items": _tensor(_VALUES, "BYTES", "FP32", "INT64")},
    },
}
_EXAMPLE = {
    "id": "1",
    "parameters": {"top_k": 2},
    "inputs": [
        {
            "name": "text",
            "shape": [2],
            "datatype": "BYTES",
            "data": ["A warm and funny film.", "The battery died after two days."],
        }
    ],
}
PATH_VERSION = [
    {
        "name": "version",
        "in": "path",
        "required": True,
        "schema": {"type": "string"},
        "description": "Id of the version.",
    }
]
"""The version in a path."""


def infer(versions: list[dict[str, Any]]) -> dict[str, Any]:
    """The answer route, whose body is parsed by hand."""
    content = {"application/json": {"schema": _REQUEST, "example": _EXAMPLE}}
    return {
        "requestBody": {"required": True, "content": content},
        "parameters": versions
        + headers(
            ("x-request-id", "Your own id for this request; it comes back and is in the log."),
            ("x-deadline-ms", "Milliseconds in which the answer is of use; then 504."),
            ("x-wait-for-model", "`false`: get 503 rather than wait for a version to load."),
        ),
    }


INFER_RESPONSES: Responses = {
    200: {
        **ANSWER_RESPONSES[200],
        "description": "The output tensors of the task's kind.",
        "content": {"application/json": {"schema": _ANSWER}},
    },
    **errors(400, 404, 410, 413, 415, 424, 429, 503, 504),
}
LOAD: dict[str, Any] = {
    "parameters": VERSION
    + headers(("x-deadline-ms", "Milliseconds to wait; then 504, and the load goes on."))
}
"""The routes that load and unload."""
