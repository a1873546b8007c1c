"""What the HTTP interface says about itself: task descriptions and OpenAPI details."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from adapter_runtime import Kind
from serving.service import TaskView

EXAMPLES: Mapping[Kind, Any] = MappingProxyType(
    {
        Kind.TEXT_CLASSIFICATION: "A warm and funny film.",
        Kind.TOKEN_CLASSIFICATION: "The old dog sleeps in the garden.",
        Kind.QUESTION_ANSWERING: {
            "question": "Where does the dog sleep?",
            "context": "The old dog sleeps in the garden.",
        },
        Kind.MULTIPLE_CHOICE: {
            "context": "It rains hard.",
            "choices": ["I take an umbrella.", "I water the garden."],
        },
        Kind.FEATURE_EXTRACTION: "A warm and funny film.",
        Kind.SENTENCE_SIMILARITY: {
            "source_sentence": "The dog sleeps.",
            "sentences": ["A dog is asleep.", "Shares fell today."],
        },
        Kind.FILL_MASK: "The old dog [MASK] in the garden.",
        Kind.TEXT_GENERATION: "The old dog sleeps in the",
        Kind.DEPENDENCY_PARSING: {"words": ["The", "old", "dog", "sleeps", "."]},
    }
)
"""An input to try for each kind."""


def describe(view: TaskView) -> dict[str, Any]:
    """A task as JSON; absent facts are left out."""
    if view.version is None:
        return {"name": view.name, "state": view.state, "reason": view.reason}
    return {
        "name": view.name,
        "state": view.state,
        "kind": view.kind,
        "labels": view.labels,
        "version": view.version,
        "versions": [{"id": view.version, "digest": view.digest, "state": view.state}],
        "digest": view.digest,
        "residency": view.residency,
        "limits": {"max_tokens": view.max_tokens, "overflow": view.overflow},
    }


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
_HEADERS = (
    ("x-request-id", "Your own id for this request; it comes back and is in the log."),
    ("x-deadline-ms", "Milliseconds in which the answer is of use; then 504."),
    ("x-wait-for-model", "`false`: get 503 rather than wait for weights that are not in memory."),
)
_ERROR = {
    "type": "object",
    "properties": {
        "error": {"type": "string"},
        "code": {"type": "string"},
        "request_id": {"type": "string"},
    },
}
_ERROR_CONTENT = {"application/json": {"schema": _ERROR}}
_STATUSES = {
    404: "No task of that name; similar names are listed.",
    413: "The body is too large.",
    422: "The input or a parameter is wrong; the field is named.",
    424: "The task's files were rejected; the reasons are listed.",
    429: "The server is full; see Retry-After.",
    503: "The server is loading or stopping; see Retry-After.",
    504: "The deadline passed.",
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
    "parameters": [
        {"name": name, "in": "header", "schema": {"type": "string"}, "description": text}
        for name, text in _HEADERS
    ],
}
"""OpenAPI details of the answer route, whose body is parsed by hand for speed."""

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": _ERROR_CONTENT} for status, text in _STATUSES.items()
}
ANSWER_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer, in the shape of the task's kind.",
        "content": {"application/json": {"schema": {}}},
        "headers": {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in (
                ("x-task-version", "Version that answered."),
                ("x-adapter-residency", "Where its weights were: device, host or absent."),
                ("x-queue-time", "Milliseconds in the queue."),
                ("x-inference-time", "Milliseconds of computation."),
                ("x-batch-tokens", "Tokens in the forward that answered."),
                ("x-batch-tasks", "Distinct tasks in that forward."),
                ("x-truncated", "`true` when an input was cut."),
            )
        },
    },
    **_ERRORS,
}
TASK_RESPONSES: dict[int | str, dict[str, Any]] = {404: _ERRORS[404]}
