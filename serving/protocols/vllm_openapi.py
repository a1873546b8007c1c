"""OpenAPI details of vLLM's routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serving.protocols.openapi import ANSWER_RESPONSES, VERSION, Responses, headers

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
                "code": {"type": "integer", "description": "The status."},
            },
        }
    },
}
_STATUSES: Mapping[int, str] = {
    400: "The body or an input is wrong, or the task answers something else.",
    404: "No such task or version; similar names are listed.",
    409: "The catalog is read-only, or the task has changed meanwhile.",
    410: "The version is retired.",
    413: "The body is too large.",
    415: "The body is compressed.",
    422: "The body is wrong; asked with `texts`, in Text Embeddings Inference's shape.",
    424: "The version's files were rejected; the reasons are listed.",
    429: "The server is full; see Retry-After.",
    503: "It does not answer now; see Retry-After where another try may succeed.",
    504: "The deadline passed.",
}
_OF_TEI_ERROR = {
    "type": "object",
    "required": ["error", "error_type"],
    "properties": {"error": {"type": "string"}, "error_type": {"type": "string"}},
}
_EITHER = {"anyOf": [_ERROR, _OF_TEI_ERROR]}


def errors(*statuses: int, schema: Mapping[str, Any] = _ERROR) -> Responses:
    """The error answers of a route, in the protocol's shape."""
    texts: dict[int | str, str] = {status: _STATUSES[status] for status in statuses}
    texts["default"] = "Any other error."
    content = {"application/json": {"schema": schema}}
    return {status: {"description": text, "content": content} for status, text in texts.items()}


_TEXT = {"type": "string"}
_TEXTS = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}
_MODEL = {"type": "string", "description": "The task's name; else --default-task."}
_COUNTS = {
    "type": "object",
    "properties": {"prompt_tokens": {"type": "integer"}, "total_tokens": {"type": "integer"}},
}


def body(
    required: list[str], example: dict[str, Any], properties: dict[str, Any]
) -> dict[str, Any]:
    """A route's JSON body.

    Args:
        required: members that must be there.
        example: shown on the page.
        properties: the members' schemas.
    """
    schema = {"type": "object", "required": required, "properties": properties}
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


def _asking(
    required: list[str], example: dict[str, Any], properties: dict[str, Any]
) -> dict[str, Any]:
    parameters = VERSION + headers(
        ("x-deadline-ms", "Milliseconds in which the answer is of use; then 504."),
        ("x-wait-for-model", "`false`: get 503 rather than wait for a version to load."),
    )
    found = body(required, example, {"model": _MODEL, **properties})
    return {**found, "parameters": parameters}


def _answers(text: str, member: str, schema: Mapping[str, Any] = _ERROR, *more: int) -> Responses:
    found = {
        "type": "object",
        "required": ["id", "model", member, "usage"],
        "properties": {
            "id": _TEXT,
            "model": _TEXT,
            member: {"type": "array", "items": {"type": "object"}},
            "usage": _COUNTS,
        },
    }
    content = {"application/json": {"schema": found}}
    good = {**ANSWER_RESPONSES[200], "description": text, "content": content}
    statuses = (400, 404, 410, 413, 415, 424, 429, 503, 504, *more)
    return {200: good, **errors(*statuses, schema=schema)}


CLASSIFY = _asking(
    ["input"], {"model": "sentiment", "input": ["A warm and funny film."]}, {"input": _TEXTS}
)
CLASSIFIED = _answers("A label and all probabilities, for each text.", "data")
_DOCUMENT = {"anyOf": [_TEXT, {"type": "object", "properties": {"text": _TEXT}}]}
RERANK = _asking(
    ["query"],
    {"model": "embed", "query": "Where do dogs sleep?", "documents": ["In a kennel.", "Up."]},
    {
        "query": _TEXT,
        "documents": {"type": "array", "items": _DOCUMENT},
        "texts": {
            "type": "array",
            "items": _TEXT,
            "description": "In place of documents: ask the default task as TEI does.",
        },
        "top_n": {"type": ["integer", "null"], "minimum": 0},
        "return_documents": {"type": ["boolean", "null"]},
    },
)
_RESULTS = _answers("Documents, best first.", "results", _EITHER, 422)
_OF_TEI = {"type": "array", "items": {"type": "object", "required": ["index", "score"]}}
_OK = _RESULTS[200]["content"]["application/json"]["schema"]
RANKED: Responses = {
    **_RESULTS,
    200: {
        **_RESULTS[200],
        "content": {"application/json": {"schema": {"anyOf": [_OK, _OF_TEI]}}},
    },
}
SCORE = _asking(
    [],
    {"model": "embed", "text_1": "Where do dogs sleep?", "text_2": ["In a kennel.", "Up."]},
    {"text_1": _TEXTS, "text_2": _TEXTS, "queries": _TEXTS, "documents": _TEXTS},
)
SCORED = _answers("A score for each pair.", "data")
_CHANGE = (400, 404, 409, 413, 415, 424, 429, 503, 504)
LOAD_ADAPTER = body(
    ["lora_name", "lora_path"],
    {"lora_name": "topic", "lora_path": "hf://org/topic-adapter"},
    {
        "lora_name": _TEXT,
        "lora_path": {"type": "string", "description": "A folder, org/name on the hub, or a URL."},
        "load_inplace": {"type": "boolean", "description": "Replace the task of that name."},
    },
)
UNLOAD_ADAPTER = body(["lora_name"], {"lora_name": "topic"}, {"lora_name": _TEXT})
CHANGED: Responses = {
    200: {"description": "It is done.", "content": {"text/plain": {"schema": _TEXT}}},
    **errors(*_CHANGE),
}
