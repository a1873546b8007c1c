"""How many tokens a Call's inputs have, as far as it can be told before they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

_TOKEN_BYTES = 4
_EACH = ("choices", "texts", "candidate_labels")
"""Members of which each makes a row of its own, with all the other texts in it once more."""
_ALSO = ("candidate_labels", "hypothesis_template")
"""Parameters that are read with every input."""


def rough_tokens(items: Sequence[Any], parameters: Mapping[str, Any]) -> float:
    """About as many as there are, special ones included.

    Args:
        items: the inputs.
        parameters: of all of them.
    """
    return sum(_total(item, parameters, _likely) for item in items)


def fewest_tokens(items: Sequence[Any], parameters: Mapping[str, Any]) -> int:
    """So many there are at least: each word is one."""
    return int(sum(_total(item, parameters, lambda text: len(text.split())) for item in items))


def _likely(text: str) -> float:
    """Words in alphabets have some letters to a token; bytes tell of scripts that have not."""
    return max(len(text.encode(errors="replace")) / _TOKEN_BYTES, text.count(" ")) + 1


def _total(item: Any, parameters: Mapping[str, Any], measure: Callable[[str], float]) -> float:
    """The sum over an input's rows."""
    more = {name: parameters[name] for name in _ALSO if name in parameters}
    whole = {**item, **more} if isinstance(item, Mapping) else {"": item, **more}
    each = [list(_texts(_split(whole.pop(name)))) for name in _EACH if name in whole]
    rows = max(map(len, each), default=1) or 1
    alone = sum(measure(text) for texts in each for text in texts)
    return alone + rows * sum(measure(text) for text in _texts(whole))


def _split(value: Any) -> Any:
    """Labels may come as one text with commas."""
    return value.split(",") if isinstance(value, str) else value


def _texts(value: Any) -> Iterator[str]:
    """Every text inside JSON values."""
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, Mapping):
            left.extend(each.values())
        elif isinstance(each, list | tuple):
            left.extend(each)
