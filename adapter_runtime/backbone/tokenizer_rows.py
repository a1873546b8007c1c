"""One encoded row, and how encodings are cut to size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from tokenizers import Encoding

_COARSE_TOKENS = 512


@dataclass(frozen=True)
class Tokens:
    """One encoded row, special tokens included.

    Args:
        encoding: the fast tokenizer's encoding of the row.
        first: how many content tokens of the windowed text lie before this row.
        pair_type: the type id of the pair's tokens, where the encoding does not say.
        shown: how many content tokens of the windowed text this row holds.
    """

    encoding: Encoding
    first: int = 0
    pair_type: int | None = None
    shown: int = 0

    def __len__(self) -> int:
        return len(self.encoding)

    @cached_property
    def ids(self) -> tuple[int, ...]:
        """Token ids."""
        return tuple(self.encoding.ids)

    @cached_property
    def types(self) -> tuple[int, ...]:
        """Token type ids."""
        types = tuple(self.encoding.type_ids)
        if self.pair_type is None:
            return types
        pairs = zip(types, self.texts, strict=True)
        return tuple(self.pair_type if text == 1 else kind for kind, text in pairs)

    @cached_property
    def offsets(self) -> tuple[tuple[int, int], ...]:
        """Character spans in the token's own text; (0, 0) for special tokens."""
        return tuple(self.encoding.offsets)

    @cached_property
    def specials(self) -> tuple[int, ...]:
        """1 where the tokenizer put the token in by itself."""
        return tuple(self.encoding.special_tokens_mask)

    @cached_property
    def texts(self) -> tuple[int | None, ...]:
        """0 for tokens of the text, 1 for tokens of its pair, None for special tokens."""
        return tuple(self.encoding.sequence_ids)

    @cached_property
    def words(self) -> tuple[int | None, ...]:
        """The word number of each token within its own text."""
        return tuple(self.encoding.word_ids)

    def word_chars(self, index: int, text: int) -> tuple[int, int] | None:
        """Characters, within text 0 or 1, of the word that holds a token; None if none does."""
        word = self.words[index]
        if word is None:
            return None
        span: tuple[int, int] | None = self.encoding.word_to_chars(word, sequence_index=text)
        return span


def pair_type(whole: Encoding) -> int | None:
    """A template types the first window only, so the others take the pair's type from it."""
    pairs = zip(whole.type_ids, whole.sequence_ids, strict=True)
    return next((int(kind) for kind, text in pairs if text == 1), None)


def cut(encoding: Encoding, size: int, side: str) -> None:
    """Keep `size` tokens.

    An encoding carries along whatever was cut off it, until it is cut again: cutting step by step
    leaves one token to carry, where a long text would be copied whole each time the row is.
    """
    for step in (size + _COARSE_TOKENS, size + 2, size + 1, size):
        encoding.truncate(step, direction=side)


def longest_first(first: int, second: int | None, room: int) -> tuple[int, int]:
    """How many tokens each text keeps, by the fast tokenizers' rule; room is at least 0."""
    if second is None:
        return room, 0
    short, long = sorted((first, second))
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short = room // 2
        long = short + room % 2
    return (long, short) if first > second else (short, long)


def word_starts(tokens: Tokens) -> tuple[int, ...]:
    """The first token of each word of a row, and the end of the last."""
    starts, last = [], None
    for place, (text, word) in enumerate(zip(tokens.texts, tokens.words, strict=True)):
        if text == 0:
            if word != last:
                starts.append(place)
            last, end = word, place + 1
    return (*starts, end) if starts else ()


def clean_up(text: str) -> str:
    """Running text without the blanks that tokenizers put before marks and short forms.

    Source: transformers `clean_up_tokenization`.
    """
    for spaced in (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"):
        text = text.replace(spaced, spaced.strip() if spaced != " ' " else "'")
    return text
