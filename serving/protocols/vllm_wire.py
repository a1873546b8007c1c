"""Bodies, answers and errors as vLLM has them; its ranking is Jina's and Cohere's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from adapter_runtime import InvalidInput
from serving.errors import Refusal
from serving.protocols.wire import json_response, refusal_headers
from serving.service import Answer

Pairs = list[tuple[str, list[str]]]
"""Queries, each with the texts that are held against it."""
_STATUSES = {422: 400}
_CLIENTS_OWN = frozenset({"user", "request_id"})
_DONE_ANYWAY = {"use_activation": True, "activation": True}
_TYPES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    429: "RateLimitError",
}


def vllm_refusal(refused: Refusal, type: str | None = None) -> Response:
    """A refusal as the protocol states it, with Retry-After where another try may succeed.

    Args:
        type: of the error; by default what the status says.
    """
    status = _STATUSES.get(refused.status, refused.status)
    fault = "InternalServerError" if status >= 500 else "BadRequestError"
    error = {
        "message": refused.message,
        "type": type or _TYPES.get(status, fault),
        "param": None,
        "code": status,
    }
    return json_response({"error": error}, status, refusal_headers(refused))


def read_texts(given: Any, place: str) -> list[str]:
    """A text, or a list of at least one.

    Raises:
        InvalidInput: it is something else.
    """
    texts = given if isinstance(given, list) else [given]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise InvalidInput("expected a text or a list of texts; token ids are not taken.", place)
    return texts


def refuse_unknown(body: dict[str, Any]) -> None:
    """What is left of a body must not ask for anything: it would be passed over in silence.

    Raises:
        InvalidInput: a member is neither null, nor the client's own, nor what is done anyway.
    """
    for name, value in body.items():
        if value is not None and name not in _CLIENTS_OWN and _DONE_ANYWAY.get(name) is not value:
            raise InvalidInput("is no member that is known here; leave it out.", name)


def rerank_asked(body: dict[str, Any]) -> tuple[str, list[str], int | None, bool]:
    """Query, documents, how many are wanted, and whether the answer repeats them.

    A document is a text or `{"text": …}`.

    Raises:
        InvalidInput: it is something else.
    """
    query, given = body.pop("query", None), body.pop("documents", None)
    if not isinstance(query, str):
        raise InvalidInput("expected a text.", "query")
    if not isinstance(given, list) or not given:
        message = "expected a list of texts (`texts` asks as Text Embeddings Inference does)."
        raise InvalidInput(message, "documents")
    documents = [each.get("text") if isinstance(each, dict) else each for each in given]
    top_n, is_told = body.pop("top_n", None), body.pop("return_documents", None)
    if top_n is not None and (isinstance(top_n, bool) or not isinstance(top_n, int) or top_n < 0):
        raise InvalidInput("expected a whole number, 0 for all.", "top_n")
    if is_told is not None and not isinstance(is_told, bool):
        raise InvalidInput("expected true or false.", "return_documents")
    refuse_unknown(body)
    return query, read_texts(documents, "documents"), top_n, is_told is not False


def pairs_asked(body: dict[str, Any]) -> Pairs:
    """One text against many, or as many on both sides.

    Raises:
        InvalidInput: the numbers do not fit, or it is something else.
    """
    first, second = (
        read_texts(next((body.pop(name) for name in names if name in body), None), names[0])
        for names in (("text_1", "queries", "data_1"), ("text_2", "documents", "items", "data_2"))
    )
    refuse_unknown(body)
    if len(first) == 1:
        return [(first[0], second)]
    if len(first) != len(second):
        message = (
            f"has {len(second)} texts beside {len(first)}; send one on the first side, or as many."
        )
        raise InvalidInput(message, "text_2")
    return [(one, [other]) for one, other in zip(first, second, strict=True)]


def classified(answer: Answer, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Probabilities in the order of the labels; those that nobody knows any more, by name.

    Args:
        answer: labels with scores, best first.
        labels: of the version that answered.
    """
    found = []
    for index, scores in enumerate(answer.outputs):
        by_label = {each.label: each.score for each in scores}
        order = labels if set(labels) == set(by_label) else sorted(by_label)
        probs = [by_label[label] for label in order]
        found.append(
            {"index": index, "label": scores[0].label, "probs": probs, "num_classes": len(probs)}
        )
    return found


def ranked(
    scores: Sequence[float], documents: Sequence[str], top_n: int | None, is_told: bool
) -> list[dict[str, Any]]:
    """The best documents first.

    Args:
        scores: of the documents, in their order.
        top_n: how many; 0 or None: all.
        is_told: whether the documents are repeated.
    """
    places = sorted(range(len(scores)), key=lambda place: -scores[place])[: top_n or None]
    shown = [{"document": {"text": documents[place]}} if is_told else {} for place in places]
    return [
        {"index": place, **told, "relevance_score": scores[place]}
        for place, told in zip(places, shown, strict=True)
    ]


def scored(scores: Sequence[Sequence[float]]) -> list[dict[str, Any]]:
    """One score after the other."""
    flat = [score for row in scores for score in row]
    return [{"index": at, "object": "score", "score": score} for at, score in enumerate(flat)]


def usage(answer: Answer) -> dict[str, Any]:
    """Tokens, as OpenAI counts them."""
    count = answer.num_tokens
    return {"prompt_tokens": count, "total_tokens": count, "completion_tokens": 0}
