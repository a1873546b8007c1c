"""What the soak asks: the same few tasks in every protocol; a new one is a line in `_shapes`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from benchmarks.server import Server
from benchmarks.variants import TEXTS

CLOSE = 1e-4
"""Numbers that differ by more are another answer."""
_NEW = frozenset({"id", "request_id", "created", "residency", "batch_tokens", "batch_tasks"})
"""What no answer has in common with the next, beside times."""
TASKS = ("sentiment", "spam", "pos", "qa", "embed", "evidence", "social")
WHO = {"question": "Who slept?", "context": "The old dog slept while Mary read three letters."}


class Question(NamedTuple):
    """One request, and the answer that it got when nobody else asked."""

    protocol: str
    path: str
    body: Any
    expected: Any = None


def _shapes(text: str) -> Iterator[tuple[str, str, Any]]:
    """Protocol, path and body."""
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}
    for task in ("sentiment", "spam", "pos", "embed"):
        yield "hub", f"/models/{task}", {"inputs": text}
        yield "hub list", f"/models/{task}", {"inputs": [text, text[:20]]}
        yield "oip", f"/v2/models/{task}/infer", {"inputs": [tensor]}
    yield "hub", "/models/qa", {"inputs": WHO | {"question": text}}
    yield "openai", "/v1/embeddings", {"model": "embed", "input": [text]}
    yield "tei", "/models/embed/embed", {"inputs": text}
    alike = {"source_sentence": text, "sentences": [text[:20], "rain"]}
    yield "tei", "/models/embed/similarity", {"inputs": alike}
    yield "tei", "/models/evidence/rerank", {"query": text, "texts": [text[:20], "rain"]}
    yield "tei", "/models/sentiment/predict", {"inputs": [[text], [text[:20]]]}
    yield "vllm", "/classify", {"model": "spam", "input": [text]}
    yield "vllm", "/rerank", {"model": "embed", "query": text, "documents": [text[:20], "rain"]}
    yield "vllm", "/score", {"model": "evidence", "text_1": text, "text_2": ["rain", text[:20]]}
    yield "hub", "/models/evidence", {"inputs": {"query": text, "texts": ["rain", text[:20]]}}
    yield "hub", "/models/social", {"inputs": {"context": text, "choices": ["rain", text[:20]]}}
    yield "analyze", "/v1/analyze", {"inputs": text, "tasks": ["sentiment", "spam", "embed"]}


def known_questions(server: Server) -> list[Question]:
    """All questions, with what the server says when it is quiet.

    Raises:
        SystemExit: a route does not answer.
    """
    found = []
    for text in TEXTS:
        for protocol, path, body in _shapes(text):
            status, _, answer = server.call("POST", path, body)
            if status != 200:
                raise SystemExit(f"{path} answered {status} when it was quiet: {answer}")
            found.append(Question(protocol, path, body, answer))
    return found


def difference(found: Any, expected: Any, place: str = "") -> str:
    """Where two answers first say another thing, but for what is new each time; empty: nowhere."""
    if isinstance(expected, float) and isinstance(found, float | int):
        return "" if math.isclose(found, expected, abs_tol=CLOSE) else f"{place}: {found}"
    if isinstance(expected, str) and expected[:1] in ("[", "{") and isinstance(found, str):
        return difference(orjson.loads(found), orjson.loads(expected), place)  # JSON as a text
    if isinstance(expected, dict) and isinstance(found, dict) and found.keys() == expected.keys():
        names = [name for name in expected if name not in _NEW and not name.endswith("_ms")]
        parts = [(found[name], expected[name], f"{place}.{name}") for name in names]
    elif isinstance(expected, list) and isinstance(found, list) and len(found) == len(expected):
        indexes = range(len(expected))
        parts = [(found[index], expected[index], f"{place}[{index}]") for index in indexes]
    else:
        return "" if found == expected else f"{place}: {found!r:.100} for {expected!r:.100}"
    return next(filter(None, (difference(*part) for part in parts)), "")
