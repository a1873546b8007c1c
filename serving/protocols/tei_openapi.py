"""OpenAPI details of Text Embeddings Inference's routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serving.protocols.openapi import ANSWER_RESPONSES, VERSION, Responses, headers

_ERROR = {
    "type": "object",
    "required": ["error", "error_type"],
    "properties": {
        "error": {"type": "string", "description": "One sentence with the remedy."},
        "error_type": {
            "type": "string",
            "enum": ["Validation", "Empty", "Overloaded", "Backend", "Unhealthy"],
        },
    },
}
_STATUSES: Mapping[int, str] = {
    400: "There is nothing to answer.",
    404: "No such task or version; similar names are listed.",
    410: "The version is retired.",
    413: "The body is too large.",
    415: "The body is compressed.",
    422: "The body or an input is wrong, or the task answers something else.",
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


_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_FLAG = {"type": ["boolean", "null"]}
_SIDE = {"type": ["string", "null"]}
_NUMBERS = {"type": "array", "items": {"type": "number"}}
_LABELS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["label", "score"],
        "properties": {"label": _TEXT, "score": {"type": "number"}},
    },
}
_RANKS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["index", "score"],
        "properties": {"index": {"type": "integer"}, "score": {"type": "number"}, "text": _TEXT},
    },
}
_CUTS = {"truncate": _FLAG, "truncation_direction": _SIDE}


def _body(required: list[str], example: dict[str, Any], **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "required": required, "properties": properties}
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema, "example": example}},
        },
        "parameters": VERSION
        + headers(
            ("x-deadline-ms", "Milliseconds in which the answer is of use; then 504."),
            ("x-wait-for-model", "`false`: get 503 rather than wait for a version to load."),
        ),
    }


def _answers(text: str, schema: dict[str, Any]) -> Responses:
    content = {"application/json": {"schema": schema}}
    good = {**ANSWER_RESPONSES[200], "description": text, "content": content}
    return {200: good, **errors(400, 404, 410, 413, 415, 422, 424, 429, 503, 504)}


POST_ROUTES: Mapping[str, tuple[dict[str, Any], Responses]] = {
    "embed": (
        _body(
            ["inputs"],
            {"inputs": ["The dog sleeps.", "Shares fell today."]},
            inputs={"anyOf": [_TEXT, _TEXTS]},
            normalize=_FLAG,
            dimensions={"type": ["integer", "null"], "minimum": 1},
            **_CUTS,
        ),
        _answers("A vector for each text.", {"type": "array", "items": _NUMBERS}),
    ),
    "predict": (
        _body(
            ["inputs"],
            {"inputs": "A warm and funny film."},
            inputs={
                "description": "A text; a list of one or two: a text or a pair; lists of them.",
                "anyOf": [_TEXT, _TEXTS, {"type": "array", "items": _TEXTS}],
            },
            raw_scores=_FLAG,
            **_CUTS,
        ),
        _answers(
            "Labels with scores, best first; of a batch, a list of them for each input.",
            {"anyOf": [_LABELS, {"type": "array", "items": _LABELS}]},
        ),
    ),
    "rerank": (
        _body(
            ["query", "texts"],
            {"query": "Where do dogs sleep?", "texts": ["In a kennel.", "Shares fell today."]},
            query=_TEXT,
            texts=_TEXTS,
            raw_scores=_FLAG,
            return_text=_FLAG,
            **_CUTS,
        ),
        _answers("Places of the texts with their scores, best first.", _RANKS),
    ),
    "similarity": (
        _body(
            ["inputs"],
            {"inputs": {"source_sentence": "The dog sleeps.", "sentences": ["A dog is asleep."]}},
            inputs={
                "type": "object",
                "required": ["source_sentence", "sentences"],
                "properties": {"source_sentence": _TEXT, "sentences": _TEXTS},
            },
            parameters={"type": ["object", "null"]},
        ),
        _answers("How alike the source is to each sentence.", _NUMBERS),
    ),
}
