"""Bodies, answers and errors as Text Embeddings Inference has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from adapter_runtime import InvalidInput
from serving.errors import Refusal
from serving.protocols.wire import json_response, refusal_headers
from serving.service import Answer, Call
from serving.settings import Settings
from serving.views import TaskView, VersionView

Asked = tuple[list[Any], dict[str, Any], bool]
"""Items, parameters, and whether the items came as a list."""
_TYPES = {429: "Overloaded", 424: "Backend", 503: "Unhealthy"}
_EMPTY = "empty_input"
_EMPTY_TEXT = "the text is empty; send at least one word."
_SIDES = ("truncate", "truncation_direction")
_NO_PROMPTS = "there are no prompts here; put them before the texts."
_VECTORS = ("feature-extraction", "sentence-similarity")


class EmptyInput(InvalidInput):
    """There is nothing to answer."""

    code = _EMPTY


def tei_refusal(refused: Refusal) -> Response:
    """A refusal as the protocol states it, with Retry-After where another try may succeed."""
    status = 400 if refused.code == _EMPTY else refused.status
    fault = "Empty" if refused.code == _EMPTY else "Validation" if status < 500 else "Backend"
    content = {"error": refused.message, "error_type": _TYPES.get(status, fault)}
    return json_response(content, status, refusal_headers(refused))


def embed_asked(body: dict[str, Any]) -> Asked:
    """`{"inputs": text or texts, "normalize", "truncate", "truncation_direction", "dimensions"}`.

    Raises:
        InvalidInput: it is something else.
    """
    inputs = _taken(body, "inputs")
    if body.pop("prompt_name", None) is not None:
        raise InvalidInput(_NO_PROMPTS, "prompt_name")
    side = body.get("truncation_direction")
    if isinstance(side, str):
        body["truncation_direction"] = side.lower()
    texts = inputs if isinstance(inputs, list) else [inputs]
    _refuse_others(texts, "inputs")
    _refuse_empty(texts, "inputs")
    return texts, _stated(body), isinstance(inputs, list)


def similarity_asked(body: dict[str, Any]) -> Asked:
    """`{"inputs": {"source_sentence", "sentences"}, "parameters"?}`.

    Raises:
        InvalidInput: it is something else.
    """
    inputs, parameters = _taken(body, "inputs"), body.pop("parameters", None) or {}
    if not isinstance(parameters, dict):
        raise InvalidInput("must be an object.", "parameters")
    if not isinstance(inputs, dict):
        raise InvalidInput("expected source_sentence and sentences.", "inputs")
    source, sentences = inputs.get("source_sentence"), inputs.get("sentences")
    if sentences == []:
        raise EmptyInput("is empty; there is nothing to compare.", "inputs.sentences")
    _refuse_empty([source], "inputs.source_sentence")
    _refuse_empty(sentences if isinstance(sentences, list) else (), "inputs.sentences")
    if parameters.pop("prompt_name", None) is not None:
        raise InvalidInput(_NO_PROMPTS, "parameters.prompt_name")
    return [inputs], _stated(body | parameters), False


def predict_asked(body: dict[str, Any]) -> Asked:
    """`{"inputs": text, pair, or a list of lists of one or two texts, "raw_scores"}`.

    A list of one or two texts is one input; a batch is a list of such lists.

    Raises:
        InvalidInput: it is something else.
    """
    inputs = _taken(body, "inputs")
    is_batch = isinstance(inputs, list) and all(isinstance(each, list) for each in inputs)
    given = inputs if is_batch else [inputs]
    found = [
        _sequence(each, f"inputs[{at}]" if is_batch else "inputs") for at, each in enumerate(given)
    ]
    parameters = _without_sides(body)
    if _yes_or_no(parameters, "raw_scores"):
        parameters["function_to_apply"] = "none"
    return found, parameters, is_batch


def rerank_asked(body: dict[str, Any]) -> Asked:
    """`{"query", "texts", "raw_scores", "return_text"}`.

    Raises:
        InvalidInput: it is something else.
    """
    texts = _taken(body, "texts")
    inputs = {"query": body.pop("query", None), "texts": texts}
    if not isinstance(inputs["query"], str):
        raise InvalidInput("expected a text.", "query")
    return [inputs], _without_sides(body), False


def tei_headers(answer: Answer, call: Call) -> dict[str, str]:
    """Timing headers under the protocol's names; times in whole milliseconds."""
    timing = answer.timing
    parts = (timing.encode_s, timing.queue_s, timing.load_s, timing.compute_s, timing.decode_s)
    return {
        "x-compute-time": str(round(1000 * sum(parts))),
        "x-compute-characters": str(sum(map(_num_characters, call.items))),
        "x-compute-tokens": str(answer.num_tokens),
        "x-tokenization-time": str(round(1000 * timing.encode_s)),
    }


def tei_info(view: TaskView, version: VersionView | None, settings: Settings) -> dict[str, Any]:
    """What `/info` of that protocol says of a task.

    Args:
        view: the task.
        version: of its versions the one that is asked about; else the one that answers.
        settings: the server's limits.
    """
    shown: TaskView | VersionView = view if version is None else version
    return {
        "model_id": view.name,
        "model_sha": shown.digest,
        "served_model_name": view.name,
        "model_type": _model_type(shown.kind, shown.labels),
        "max_concurrent_requests": settings.max_requests,
        "max_input_length": view.max_tokens,
        "max_client_batch_size": settings.max_items,
        "auto_truncate": view.overflow == "truncate",
    }


def _model_type(kind: str | None, labels: Sequence[str]) -> dict[str, Any]:
    if kind in _VECTORS:
        return {"embedding": {}}
    known = {
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
    }
    return {"reranker" if kind == "text-ranking" else "classifier": known}


def _taken(body: dict[str, Any], name: str) -> Any:
    if name not in body:
        raise InvalidInput("is missing; the body needs it.", name)
    found = body.pop(name)
    if found in ("", []):
        raise EmptyInput("is empty; there is nothing to answer.", name)
    return found


def _sequence(given: Any, place: str) -> Any:
    """One text or pair as this server's tasks take it."""
    texts = given if isinstance(given, list) else [given]
    if not texts:
        raise EmptyInput("is empty; there is nothing to answer.", place)
    _refuse_others(texts, place)
    if not any(texts):
        raise EmptyInput(_EMPTY_TEXT, place)
    if len(texts) > 2:
        message = "expected a text or a pair; a batch is a list of lists, [[text], [text, text]]."
        raise InvalidInput(message, place)
    return texts[0] if len(texts) == 1 else {"text": texts[0], "text_pair": texts[1]}


def _refuse_others(texts: list[Any], place: str) -> None:
    if not all(isinstance(text, str) for text in texts):
        raise InvalidInput("expected texts; token ids are not taken, they are made here.", place)


def _refuse_empty(texts: Sequence[Any], place: str) -> None:
    """One empty text is an empty request, whatever stands beside it."""
    for at, text in enumerate(texts):
        if text == "":
            raise EmptyInput(_EMPTY_TEXT, f"{place}[{at}]" if len(texts) > 1 else place)


def _stated(body: dict[str, Any]) -> dict[str, Any]:
    """Clients write null where they state nothing."""
    return {name: value for name, value in body.items() if value is not None}


def _without_sides(body: dict[str, Any]) -> dict[str, Any]:
    """What is too long is cut, windowed or refused as the task's limits say."""
    return {name: value for name, value in _stated(body).items() if name not in _SIDES}


def _yes_or_no(parameters: dict[str, Any], name: str) -> bool:
    found = parameters.pop(name, False)
    if not isinstance(found, bool):
        raise InvalidInput("expected true or false.", name)
    return found


def _num_characters(item: Any) -> int:
    if isinstance(item, str):
        return len(item)
    values = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return sum(map(_num_characters, values))
