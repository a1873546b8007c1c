"""OpenAPI details of `POST /v1/analyze`."""

from __future__ import annotations

from typing import Any

from serving.protocols.openapi import ANSWER_RESPONSES, Responses, errors, headers

_ASKED = {
    "type": "object",
    "required": ["task"],
    "properties": {
        "task": {"type": "string", "description": "Its name."},
        "version": {"type": ["string", "null"], "description": "Else its traffic decides."},
        "parameters": {"type": ["object", "null"], "description": "Beside those of all tasks."},
    },
    "additionalProperties": False,
}
_REQUEST = {
    "type": "object",
    "required": ["inputs", "tasks"],
    "properties": {
        "inputs": {
            "description": "One input, or a list of inputs answered in order: a text, or what "
            "else all the named tasks take."
        },
        "tasks": {
            "type": "array",
            "minItems": 1,
            "items": {"anyOf": [{"type": "string"}, _ASKED]},
            "description": "Names; one that is named twice is answered once.",
        },
        "parameters": {"type": ["object", "null"], "description": "Of every task."},
    },
    "additionalProperties": False,
}
_EXAMPLE = {
    "inputs": "A warm and funny film.",
    "tasks": ["sentiment", {"task": "ner", "parameters": {"aggregation_strategy": "first"}}],
}
ANALYZE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": _REQUEST, "example": _EXAMPLE}},
    },
    "parameters": headers(
        ("x-deadline-ms", "Milliseconds in which the answers are of use; what is late is 504."),
        ("x-wait-for-model", "`false`: a task whose weights must be loaded first is 503."),
    ),
}
_MILLISECONDS = {"type": "number", "minimum": 0}
_RESULT = {
    "type": "object",
    "properties": {
        "outputs": {"description": "What `POST /models/{task}` answers."},
        "kind": {"type": "string"},
        "version": {"type": "string", "description": "Id of the version that answered."},
        "residency": {"type": "string", "description": "Where its weights were."},
        "truncated": {"type": "boolean", "description": "Whether an input was cut."},
        "num_tokens": {"type": "integer", "description": "Of the task's own rows."},
        "batch_tokens": {"type": "integer", "description": "Computed in the last forward."},
        "batch_tasks": {"type": "integer", "description": "Tasks in that forward."},
        "encode_ms": _MILLISECONDS,
        "queue_ms": _MILLISECONDS,
        "load_ms": _MILLISECONDS,
        "inference_ms": _MILLISECONDS,
        "error": {"type": "string", "description": "In place of all above: why not."},
        "code": {"type": "string", "description": "Stable; for programs."},
        "status": {"type": "integer", "description": "What `POST /models/{task}` would answer."},
        "request_id": {"type": "string"},
        "estimated_time": {"type": "number", "description": "Seconds until a next try."},
        "reasons": {"type": "array", "items": {"type": "object"}},
    },
}
_ANSWER = {
    "type": "object",
    "required": ["results"],
    "properties": {"results": {"type": "object", "additionalProperties": _RESULT}},
}
_NOT_ABOUT_ALL = ("x-task-version", "x-adapter-residency")
ANALYZE_RESPONSES: Responses = {
    200: {
        "description": "By task: its answer, or its error. With no answer at all, the first "
        "error is the response's, `results` beside it.",
        "content": {"application/json": {"schema": _ANSWER}},
        "headers": {
            name: told
            for name, told in ANSWER_RESPONSES[200]["headers"].items()
            if name not in _NOT_ABOUT_ALL
        },
    },
    **errors(404, 410, 413, 415, 422, 424, 429, 503, 504),
}
