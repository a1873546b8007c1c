"""Typed answers; the wire's JSON is these fields under these names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LabelScore:
    """A label with its score: a probability, or a bare logit where no function is applied."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class ChoiceScore:
    """One choice of a multiple-choice request; `index` is its place in the request."""

    label: str
    score: float
    index: int


@dataclass(frozen=True, slots=True)
class TokenEntity:
    """One token's label; `start` and `end` are characters of the text, `index` counts tokens."""

    entity: str
    score: float
    index: int
    word: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class EntityGroup:
    """Neighbouring tokens or words with the same label; `start` and `end` are characters."""

    entity_group: str
    score: float
    word: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class AnswerSpan:
    """An answer cut from the context; `start` and `end` are its characters, `""` is no answer."""

    score: float
    start: int
    end: int
    answer: str


@dataclass(frozen=True, slots=True)
class MaskFill:
    """A token for a masked place: its id, its text, and the text with it in place."""

    score: float
    token: int
    token_str: str
    sequence: str


@dataclass(frozen=True, slots=True)
class RankScore:
    """A text of a ranking request by its place there, with its score."""

    index: int
    score: float


@dataclass(frozen=True, slots=True)
class RankedText:
    """As `RankScore`, with the text."""

    index: int
    score: float
    text: str


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """A text that a language model wrote."""

    generated_text: str


@dataclass(frozen=True, slots=True)
class ParsedWord:
    """A word, the number of the word that governs it (0 is the root), and the relation."""

    word: str
    head: int
    label: str
    score: float
