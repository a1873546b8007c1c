"""Token probabilities to entities, by the hub pipeline's five aggregation strategies.

Source: transformers 4.57 `TokenClassificationPipeline.{gather_pre_entities,aggregate,
aggregate_words,group_entities,aggregate_overlapping_entities}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adapter_runtime.backbone.tokenizer import Tokenizer, Tokens
from adapter_runtime.heads.answers import EntityGroup, TokenEntity

STRATEGIES = ("none", "simple", "first", "average", "max")
_BY_WORD = ("first", "average", "max")


@dataclass(frozen=True)
class TokenLabels:
    """How tokens are labelled: the head's labels, the strategy, and the vocabulary."""

    labels: Sequence[str]
    strategy: str
    tokenizer: Tokenizer


@dataclass(frozen=True, slots=True)
class Piece:
    """One token before aggregation; `scores` are its label probabilities."""

    word: str
    scores: np.ndarray
    start: int
    end: int
    index: int
    is_subword: bool


@dataclass(frozen=True, slots=True)
class Labelled:
    """A token or a word with its label."""

    label: str
    score: float
    word: str
    start: int
    end: int
    index: int = 0


def gather(labels: TokenLabels, text: str, tokens: Tokens, logits: np.ndarray) -> list[Piece]:
    """The tokens of one window, special tokens left out. Logits: `[tokens, labels]`."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores = shifted / shifted.sum(axis=-1, keepdims=True)
    pieces = []
    for index, token_id in enumerate(tokens.ids):
        if tokens.specials[index]:
            continue
        start, end = tokens.offsets[index]
        word, is_subword = _word(labels.tokenizer, text, token_id, start, end)
        pieces.append(Piece(word, scores[index], start, end, tokens.first + index, is_subword))
    return pieces


def _word(tokenizer: Tokenizer, text: str, token_id: int, start: int, end: int) -> tuple[str, bool]:
    if token_id == tokenizer.unk_id:
        return text[start:end], False
    word = tokenizer.token(token_id)
    if tokenizer.marks_subwords:
        return word, len(word) != end - start
    # Vocabularies without a subword mark: a token goes on with a word unless a space is near.
    return word, start > 0 and " " not in text[start - 1 : start + 1]


def to_entities(
    labels: TokenLabels, pieces: Sequence[Piece]
) -> list[TokenEntity] | list[EntityGroup]:
    """One window's entities by the strategy."""
    if labels.strategy in _BY_WORD:
        return _grouped(labels, [_word_label(labels, word) for word in _by_word(pieces)])
    tokens = [_token_label(labels, piece) for piece in pieces]
    if labels.strategy == "simple":
        return _grouped(labels, tokens)
    return [
        TokenEntity(token.label, token.score, token.index, token.word, token.start, token.end)
        for token in tokens
    ]


def _token_label(labels: TokenLabels, piece: Piece) -> Labelled:
    best = int(piece.scores.argmax())
    score = float(piece.scores[best])
    return Labelled(labels.labels[best], score, piece.word, piece.start, piece.end, piece.index)


def _by_word(pieces: Sequence[Piece]) -> list[list[Piece]]:
    words: list[list[Piece]] = []
    for piece in pieces:
        if words and piece.is_subword:
            words[-1].append(piece)
        else:
            words.append([piece])
    return words


def _word_label(labels: TokenLabels, word: Sequence[Piece]) -> Labelled:
    if labels.strategy == "first":
        scores = word[0].scores
    elif labels.strategy == "max":
        scores = max(word, key=lambda piece: float(piece.scores.max())).scores
    else:
        scores = np.stack([piece.scores for piece in word]).mean(axis=0)
    best = int(scores.argmax())
    text = labels.tokenizer.join([piece.word for piece in word])
    return Labelled(labels.labels[best], float(scores[best]), text, word[0].start, word[-1].end)


def _grouped(labels: TokenLabels, items: Sequence[Labelled]) -> list[EntityGroup]:
    groups: list[list[Labelled]] = []
    for item in items:
        begins, tag = _split(item.label)
        if groups and not begins and tag == _split(groups[-1][-1].label)[1]:
            groups[-1].append(item)
        else:
            groups.append([item])
    return [_group(labels, group) for group in groups]


def _split(label: str) -> tuple[bool, str]:
    """Whether a label begins an entity, and its tag; labels without B- or I- only continue."""
    if label.startswith(("B-", "I-")):
        return label[0] == "B", label[2:]
    return False, label


def _group(labels: TokenLabels, group: Sequence[Labelled]) -> EntityGroup:
    return EntityGroup(
        entity_group=group[0].label.split("-", 1)[-1],
        score=float(np.mean([item.score for item in group])),
        word=labels.tokenizer.join([item.word for item in group]),
        start=group[0].start,
        end=group[-1].end,
    )


def merge_tokens(tokens: Sequence[TokenEntity]) -> list[TokenEntity]:
    """Each token once, by the window that is surest of it; in text order."""
    surest: dict[int, TokenEntity] = {}
    for token in tokens:
        # By number: tokens that make one character together have the same place in the text.
        known = surest.setdefault(token.index, token)
        if token.score > known.score:
            surest[token.index] = token
    return [surest[index] for index in sorted(surest)]


def merge_windows(entities: Sequence[EntityGroup]) -> list[EntityGroup]:
    """Of entities that overlap, the longest, then the surest; in text order."""
    merged: list[EntityGroup] = []
    for entity in sorted(entities, key=lambda item: item.start):
        if merged and merged[-1].start <= entity.start < merged[-1].end:
            if _rank(entity) > _rank(merged[-1]):
                merged[-1] = entity
        else:
            merged.append(entity)
    return merged


def _rank(entity: EntityGroup) -> tuple[int, float]:
    return entity.end - entity.start, entity.score
