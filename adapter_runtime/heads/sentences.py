"""Words to rows that end where sentences do."""

from __future__ import annotations

from collections.abc import Sequence

from adapter_runtime.errors import TooLong
from adapter_runtime.heads.inputs import window_check

_ENDS = frozenset(".!?…。！？।")
_CLOSING = "\"')]}»”’"


def split_sentences(
    words: tuple[str, ...], lengths: Sequence[int], room: int
) -> list[tuple[str, ...]]:
    """Words that fit as they are; longer ones in parts of as many whole sentences as fit.

    A sentence ends behind a word that ends in `.`, `!` or `?` and the quotes and brackets that
    it closes.

    Args:
        words: of the text.
        lengths: tokens of each word.
        room: tokens of one part.

    Raises:
        TooLong: a sentence does not fit, or there are too many parts.
    """
    if sum(lengths) <= room:
        return [words]
    parts: list[tuple[str, ...]] = []
    start, size = 0, 0
    for first, after in _sentences(words):
        length = sum(lengths[first:after])
        if length > room:
            message = (
                f"a sentence of {length} tokens begins at word {first}, one may have {room}; end "
                "sentences with . ! or ?, or send shorter ones."
            )
            raise TooLong(message, "inputs")
        if size + length > room:
            parts.append(words[start:first])
            start, size = first, 0
        size += length
    parts.append(words[start:])
    window_check("inputs", None)(len(parts))
    return parts


def _sentences(words: Sequence[str]) -> list[tuple[int, int]]:
    """Where each sentence begins, and what follows its last word."""
    found, first = [], 0
    for number, word in enumerate(words):
        is_end = word.rstrip(_CLOSING)[-1:] in _ENDS
        after = number + 1
        while is_end and after < len(words) and not words[after].strip(_CLOSING):
            after += 1
        if after > first and is_end:
            found.append((first, after))
            first = after
    return found if first == len(words) else [*found, (first, len(words))]
