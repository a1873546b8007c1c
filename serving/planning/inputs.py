"""Texts of about so many tokens, as each kind of task takes them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from adapter_runtime import Encoded, Engine, Kind, TaskVersion

_TEXT = (
    "the old dog sleeps in a warm garden while children play music near river and people "
    "read long letters about weather trains bread money love winter science city market law"
)
WORDS = _TEXT.split()
_TRIES = 4

Make = Callable[[list[str]], Any]


def _text(words: list[str]) -> Any:
    return " ".join(words)


def _question(words: list[str]) -> Any:
    return {"question": "Where does the dog sleep?", "context": _text(words)}


def _choices(words: list[str]) -> Any:
    half = max(1, len(words) // 4)
    context, one, other = words[: 2 * half], words[2 * half : 3 * half], words[3 * half :]
    choices = [_text(one or words[:1]), _text(other or words[-1:])]
    return {"context": _text(context), "choices": choices}


def _sentences(words: list[str]) -> Any:
    half = max(1, len(words) // 2)
    return {"source_sentence": _text(words[:half]), "sentences": [_text(words[half:] or words)]}


def _labelled(words: list[str]) -> Any:
    half = max(1, len(words) // 2)
    return {"text": _text(words[:half]), "candidate_labels": ["music", "weather"]}


def _ranked(words: list[str]) -> Any:
    half = max(1, len(words) // 2)
    return {"query": _text(words[:half]), "texts": [_text(words[half:] or words)]}


def _masked(words: list[str]) -> Any:
    return _text([*words[1:], "[MASK]"])


def _split(words: list[str]) -> Any:
    return {"words": words}


MAKERS: Mapping[Kind, Make] = MappingProxyType(
    {
        Kind.QUESTION_ANSWERING: _question,
        Kind.MULTIPLE_CHOICE: _choices,
        Kind.SENTENCE_SIMILARITY: _sentences,
        Kind.ZERO_SHOT_CLASSIFICATION: _labelled,
        Kind.TEXT_RANKING: _ranked,
        Kind.FILL_MASK: _masked,
        Kind.DEPENDENCY_PARSING: _split,
    }
)
"""Kinds that take more than a text."""


class Texts:
    """Inputs for a task with about so many tokens over all their rows; no text comes twice.

    Args:
        engine: counts tokens.
        version: the task.
        tokens: of a request, special and virtual tokens included.

    Raises:
        InvalidInput: the task takes no input of ours.
    """

    def __init__(self, engine: Engine, version: TaskVersion, tokens: float, seed: int = 0) -> None:
        self.version = version
        self._engine = engine
        self._make = MAKERS.get(version.kind, _text)
        self._chance = random.Random(seed)  # noqa: S311 - texts, no secrets
        self._num_words = max(1, round(tokens))
        self._fit(tokens)

    @property
    def task(self) -> str:
        """Whose inputs they are."""
        return self.version.task

    def _fit(self, tokens: float) -> None:
        """Find how many words give so many tokens."""
        for _ in range(_TRIES):
            gap = tokens - self.encoded().num_tokens
            pair_rows = 2 if self.version.kind is Kind.MULTIPLE_CHOICE else 1
            self._num_words = max(1, self._num_words + round(gap / pair_rows))

    def input(self) -> Any:
        """One input, as the wire takes it."""
        return self._make(self._chance.choices(WORDS, k=self._num_words))

    def encoded(self) -> Encoded:
        """One input's rows."""
        return self._engine.encode(self.version, self.input(), {})
