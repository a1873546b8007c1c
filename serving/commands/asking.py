"""Questions to a task, several at a time, answered in order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import orjson

from adapter_runtime import SettingsError
from serving.remote import Predicted, Refused, Remote

_BUSY = frozenset({429, 503})
_NO_TEXT = 422
_LONGEST_WAIT_S = 30.0
_MOST_TRIES = 5
Found = tuple[str, Predicted | Refused]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of each input."""

    task: str
    parameters: Mapping[str, Any]
    version: str | None = None


def read_parameters(pairs: Sequence[str]) -> dict[str, Any]:
    """Values as JSON where they are, else as text.

    Raises:
        SettingsError: one has no name.
    """
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise SettingsError(f"--parameter {pair}: write name=value, such as top_k=1.")
        found[name.strip()] = _json_or(value, value)
    return found


def answers(
    remote: Remote, question: Question, inputs: Iterator[str | None], parallel: int
) -> Iterator[Found]:
    """Each input with its answer, or with why it was refused. Blocks.

    Args:
        inputs: read only as far as they are asked; None says that there is none yet.
        parallel: how many are asked at a time, from 1.

    Raises:
        SettingsError: no server answers.
    """
    waiting: deque[tuple[str, Future[Predicted]]] = deque()
    with ThreadPoolExecutor(parallel, "ask") as threads:
        try:
            for text in inputs:
                if text is not None:
                    waiting.append((text, threads.submit(_ask, remote, question, text)))
                while waiting and (len(waiting) >= parallel or waiting[0][1].done()):
                    yield _next(waiting)
            while waiting:
                yield _next(waiting)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


def _next(waiting: deque[tuple[str, Future[Predicted]]]) -> Found:
    given, future = waiting.popleft()
    text = given.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    try:
        return text, future.result()
    except Refused as refused:
        return text, refused


def _ask(remote: Remote, question: Question, text: str) -> Predicted:
    """One answer; a server without room is asked again when it says, a few times."""
    if _holds_bytes(text):
        raise Refused(_NO_TEXT, "the input is not in UTF-8; iconv -t utf-8 converts it.")
    inputs = _json_or(text, text) if text.startswith(("{", "[")) else text
    body = {"inputs": inputs, "parameters": dict(question.parameters)}
    for _ in range(_MOST_TRIES):
        try:
            return remote.predict(question.task, body, question.version)
        except Refused as refused:
            wait_s = refused.retry_s
            if refused.status not in _BUSY or wait_s is None or wait_s > _LONGEST_WAIT_S:
                raise
            time.sleep(wait_s)
    return remote.predict(question.task, body, question.version)


def _holds_bytes(text: str) -> bool:
    """Whether some were no text where it was read."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _json_or(text: str, default: Any) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return default
