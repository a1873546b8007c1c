"""OpenAPI details of OpenAI's routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serving.protocols.openapi import ANSWER_RESPONSES, VERSION, Responses, headers, success

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string", "description": "One sentence with the remedy."},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string", "description": "Stable; for programs."},
            },
        }
    },
}
_STATUSES: Mapping[int, str] = {
    400: "The body, an input or a parameter is wrong, or the task gives no vectors.",
    404: "No such task or version; similar names are listed.",
    410: "The version is retired.",
    413: "The body is too large.",
    415: "The body is compressed.",
    424: "The version's files were rejected; the reasons are listed.",
    429: "The server is full; see Retry-After.",
    503: "It does not answer now; see Retry-After where another try may succeed.",
    504: "The deadline passed.",
}


def errors(*statuses: int) -> Responses:
    """The error answers of a route, in the protocol's shape."""
    texts: dict[int | str, str] = {status: _STATUSES[status] for status in statuses}
    texts["default"] = "Any other error."
    content = {"application/json": {"schema": _ERROR}}
    return {status: {"description": text, "content": content} for status, text in texts.items()}


_MODEL = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by", "root", "parent"],
    "properties": {
        "id": {"type": "string", "description": "The task's name."},
        "object": {"type": "string", "enum": ["model"]},
        "created": {"type": "integer", "description": "When the server started."},
        "owned_by": {"type": "string"},
        "root": {"type": "string", "description": "The adapter's Source, else the task's name."},
        "parent": {"type": ["string", "null"], "description": "The backbone."},
    },
}
_MODELS = {
    "type": "object",
    "required": ["object", "data"],
    "properties": {
        "object": {"type": "string", "enum": ["list"]},
        "data": {"type": "array", "items": _MODEL},
    },
}
MODELS = success("All tasks.", schema=_MODELS) | errors()
MODEL = success("The task.", schema=_MODEL) | errors(404)
_REQUEST = {
    "type": "object",
    "required": ["input", "model"],
    "properties": {
        "input": {
            "description": "A text or a list of texts; token ids are not taken.",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        },
        "model": {"type": "string", "description": "The task's name."},
        "encoding_format": {"type": "string", "enum": ["float", "base64"]},
        "dimensions": {"type": "integer", "minimum": 1},
        "user": {"type": "string", "description": "Passed over."},
    },
}
_EXAMPLE = {"model": "embed", "input": ["The dog sleeps.", "Shares fell today."]}
EMBED: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": _REQUEST, "example": _EXAMPLE}},
    },
    "parameters": VERSION
    + headers(
        ("x-deadline-ms", "Milliseconds in which the answer is of use; then 504."),
        ("x-wait-for-model", "`false`: get 503 rather than wait for a version to load."),
    ),
}
_ANSWER = {
    "type": "object",
    "required": ["object", "data", "model", "usage"],
    "properties": {
        "object": {"type": "string", "enum": ["list"]},
        "data": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "object": {"type": "string", "enum": ["embedding"]},
                    "index": {"type": "integer"},
                    "embedding": {"description": "Numbers, or little-endian float32 in base64."},
                },
            },
        },
        "model": {"type": "string"},
        "usage": {
            "type": "object",
            "properties": {
                "prompt_tokens": {"type": "integer"},
                "total_tokens": {"type": "integer"},
            },
        },
    },
}
EMBED_RESPONSES: Responses = {
    200: {
        **ANSWER_RESPONSES[200],
        "description": "A vector for each text, in order.",
        "content": {"application/json": {"schema": _ANSWER}},
    },
    **errors(400, 404, 410, 413, 415, 424, 429, 503, 504),
}
