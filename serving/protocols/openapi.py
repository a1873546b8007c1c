"""OpenAPI details of routes whose requests are read by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serving.protocols.describe import EXAMPLES

Responses = dict[int | str, dict[str, Any]]

_REASON = {
    "type": "object",
    "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
}
_ERROR = {
    "type": "object",
    "required": ["error", "code", "request_id"],
    "properties": {
        "error": {"type": "string", "description": "One sentence with the remedy."},
        "code": {"type": "string", "description": "Stable; for programs."},
        "request_id": {"type": "string"},
        "reasons": {"type": "array", "items": _REASON, "description": "With 424: every reason."},
        "estimated_time": {"type": "number", "description": "With 429 and 503: seconds."},
    },
}
_ERROR_CONTENT = {"application/json": {"schema": _ERROR}}
_STATUSES: Mapping[int, str] = {
    401: "No valid key was shown.",
    403: "The key may not do this, or not with this task.",
    404: "No such task or version; similar names are listed.",
    409: "The task is not as If-Match expects it, an id is taken, or the catalog is read-only.",
    410: "The version is retired.",
    413: "The body is too large.",
    415: "The body is compressed.",
    422: "The body, an input or a parameter is wrong; the place is named.",
    424: "The version's files were rejected; the reasons are listed.",
    429: "The server is full; see Retry-After.",
    503: "The server is loading, quarantining or stopping; see Retry-After.",
    504: "The deadline passed.",
}


def errors(*statuses: int) -> Responses:
    """The error answers of a route; whatever else may happen has the same shape."""
    texts: dict[int | str, str] = {status: _STATUSES[status] for status in statuses}
    texts["default"] = "Any other error."
    return {
        status: {"description": text, "content": _ERROR_CONTENT} for status, text in texts.items()
    }


def success(text: str, status: int = 200, schema: Mapping[str, Any] | None = None) -> Responses:
    """A good answer with a JSON body of any shape, unless a schema says more."""
    content = {"application/json": {"schema": dict(schema or {"type": "object"})}}
    return {status: {"description": text, "content": content}}


def headers(*named: tuple[str, str], place: str = "header") -> list[dict[str, Any]]:
    """Parameters of a request, each a name and what it says."""
    return [
        {"name": name, "in": place, "schema": {"type": "string"}, "description": text}
        for name, text in named
    ]


VERSION = headers(
    ("version", "Id of the version that is to answer; else the task's traffic decides."),
    place="query",
)
GUARDS = headers(
    ("If-Match", "The ETag that the task must still have; `*`: it must exist."),
    ("If-None-Match", "`*`: the task must not exist yet."),
)
_BODY = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "inputs": {
            "description": "One input, or a list of inputs answered in order. The task's kind "
            "says what an input is: a text, {text, text_pair}, {question, context}, "
            "{context, choices}, {source_sentence, sentences} or {words}.",
        },
        "parameters": {"type": "object", "description": "Parameters of the task's kind."},
    },
}
PREDICT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": _BODY,
                "examples": {str(kind): {"value": {"inputs": EXAMPLES[kind]}} for kind in EXAMPLES},
            }
        },
    },
    "parameters": VERSION
    + headers(
        ("x-request-id", "Your own id for this request; it comes back and is in the log."),
        ("x-deadline-ms", "Milliseconds in which the answer is of use; then 504."),
        ("x-wait-for-model", "`false`: get 503 rather than wait for a version to load."),
    ),
}
"""The answer route, whose body is parsed by hand for speed."""

_ANSWER_HEADERS = (
    ("x-task-version", "Version that answered."),
    ("x-adapter-residency", "Where its weights were: device, host or absent."),
    ("x-encode-time", "Milliseconds to turn inputs into rows."),
    ("x-queue-time", "Milliseconds in the queue."),
    ("x-inference-time", "Milliseconds of computation."),
    ("x-total-time", "Milliseconds from the request to the beginning of its answer."),
    ("server-timing", "The times of all stages, as browsers' developer tools show them."),
    ("x-batch-tokens", "Tokens in the forward that answered."),
    ("x-batch-tasks", "Distinct tasks in that forward."),
    ("x-truncated", "`true` when an input was cut."),
)
ANSWER_RESPONSES: Responses = {
    200: {
        "description": "The answer, in the shape of the task's kind.",
        "content": {"application/json": {"schema": {}}},
        "headers": {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in _ANSWER_HEADERS
        },
    },
    **errors(404, 410, 413, 415, 422, 424, 429, 503, 504),
}
_SOURCE_TREE = (
    "A Source, {stack: [..]}, {average: [..]}, {fuse: [..], fusion}, {merge: [..]} or null."
)
_ENTRY = {
    "type": "object",
    "description": "A task file entry. With `versions` it replaces the whole task, else it is a "
    "new version.",
    "properties": {
        "adapter": {"description": _SOURCE_TREE},
        "head": {"type": "string", "description": "Default: the head saved beside the adapter."},
        "kind": {"type": "string"},
        "labels": {"type": "array", "items": {"type": "string"}},
        "limits": {"type": "object"},
        "options": {"type": "object"},
        "examples": {"type": "array", "items": {"type": "object"}},
        "pinned": {"type": "boolean"},
        "id": {"type": "string", "description": "Default: the first digits of its digest."},
        "weight": {"type": "number", "minimum": 0},
        "shadow": {"type": "boolean"},
        "versions": {"type": "array", "items": {"type": "object"}},
        "rollback": {"type": "object"},
    },
}
_EXAMPLE = {"adapter": "hf://org/name@revision", "id": "2", "weight": 10}
PUT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _ENTRY, "example": _EXAMPLE},
            "application/yaml": {"schema": _ENTRY},
        },
    },
    "parameters": GUARDS,
}
"""The route that makes tasks and gives them versions."""
_SHARES = {
    "type": "object",
    "properties": {
        "weights": {
            "description": "By version id; null: the newest ready version takes all. Without it "
            "the weights stay.",
            "type": ["object", "null"],
            "additionalProperties": {"type": "number", "minimum": 0},
        },
        "shadow": {
            "description": "Ids of versions that get copies and answer nobody. Without it, they "
            "stay.",
            "type": "array",
            "items": {"type": "string"},
        },
    },
}
TRAFFIC: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": _SHARES,
                "example": {"weights": {"1": 90, "2": 10}, "shadow": []},
            }
        },
    },
    "parameters": GUARDS[:1],
}
"""The route that shares traffic out."""
ACTION: dict[str, Any] = {
    "parameters": GUARDS[:1]
    + headers(("x-deadline-ms", "Milliseconds to wait for a preload; then 504, and it goes on."))
    + headers(("wait", "`false`: answer 202 at once and preload in the background."), place="query")
}
"""The routes that act on a version."""
