"""What all head kinds check alike: texts, parameters, and rows within the limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adapter_runtime.backbone.tokenizer import Tokenizer, Tokens
from adapter_runtime.errors import InvalidInput, TooLong
from adapter_runtime.types import Limits, Overflow

Check = Callable[[Any, str], Any]
"""Takes a value and its field's name; returns the value to use or raises InvalidInput."""
MAX_ROWS = 256
"""Most rows that one input may become: with rows of 512 tokens some 130,000 tokens, a thick book,
and the most memory and time that a single input may take from everybody else."""


def read_text(value: Any, field: str) -> str:
    """A text with something in it.

    Raises:
        InvalidInput: not a string, empty, or not expressible in UTF-8.
    """
    if not isinstance(value, str):
        raise InvalidInput(f"a string is expected, not {_kind(value)}.", field)
    if not value.strip():
        raise InvalidInput("the text is empty; send at least one word.", field)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            message = "the text holds half a character (a lone surrogate)."
            raise InvalidInput(message, field) from None
    return value


def read_fields(
    inputs: Any, required: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, Any]:
    """An object with exactly these fields, values unchecked.

    Raises:
        InvalidInput: not an object, a field is missing, or one is unknown.
    """
    shape = ", ".join([f'"{name}"' for name in (*required, *optional)])
    if not isinstance(inputs, Mapping):
        raise InvalidInput(f"an object with {shape} is expected, not {_kind(inputs)}.")
    for name in required:
        if name not in inputs:
            raise InvalidInput(f"the field is missing; {shape} are expected.", f"inputs.{name}")
    for name in inputs:
        if name not in required and name not in optional:
            raise InvalidInput(f"unknown field; {shape} are expected.", f"inputs.{name}")
    return dict(inputs)


def read_texts(inputs: Any) -> tuple[str, str | None]:
    """A text, or a text and its pair: `"text"` or `{"text", "text_pair"}`.

    Raises:
        InvalidInput: another shape, or an empty text.
    """
    if isinstance(inputs, str):
        return read_text(inputs, "inputs"), None
    fields = read_fields(inputs, ("text",), ("text_pair",))
    pair = fields.get("text_pair")
    return (
        read_text(fields["text"], "inputs.text"),
        None if pair is None else read_text(pair, "inputs.text_pair"),
    )


def read_parameters(parameters: Mapping[str, Any], known: Mapping[str, Check]) -> dict[str, Any]:
    """The given parameters, checked; None means not given.

    Raises:
        InvalidInput: a parameter is unknown or has a wrong value.
    """
    found = {}
    for name, value in parameters.items():
        field = f"parameters.{name}"
        if name not in known:
            allowed = ", ".join(known) or "none"
            raise InvalidInput(f"unknown parameter; this task knows {allowed}.", field)
        if value is not None:
            found[name] = known[name](value, field)
    return found


def whole_number(least: int, most: int | None = None) -> Check:
    """A check for integers between `least` and `most`."""
    span = f"from {least} to {most}" if most is not None else f"of at least {least}"

    def check(value: Any, field: str) -> int:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if not is_number or value < least or (most is not None and value > most):
            raise InvalidInput(f"a whole number {span} is expected, not {value!r}.", field)
        return int(value)

    return check


def yes_or_no(value: Any, field: str) -> bool:
    """A check for Booleans."""
    if not isinstance(value, bool):
        raise InvalidInput(f"true or false is expected, not {value!r}.", field)
    return value


def one_of(*choices: str) -> Check:
    """A check for one of a few words, in any case."""

    def check(value: Any, field: str) -> str:
        if not isinstance(value, str) or value.lower() not in choices:
            raise InvalidInput(f"one of {', '.join(choices)} is expected, not {value!r}.", field)
        return value.lower()

    return check


def words(value: Any, field: str) -> tuple[str, ...]:
    """A check for lists of strings."""
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise InvalidInput("a list of strings is expected.", field)
    return tuple(value)


def read_list(value: Any, field: str, most: int | None = MAX_ROWS) -> tuple[str, ...]:
    """At least one text and at most so many.

    Raises:
        InvalidInput: not a list, it is empty, or one of its texts is wrong.
        TooLong: it holds too many.
    """
    if not isinstance(value, list | tuple) or not value:
        raise InvalidInput("a list of at least one text is expected.", field)
    if most is not None and len(value) > most:
        raise TooLong(f"holds {len(value)} texts; send at most {most} at once.", field)
    return tuple(read_text(text, f"{field}[{number}]") for number, text in enumerate(value))


def window_check(text: str, parameter: str | None, taken: int = 0) -> Callable[[int], None]:
    """Refuses too many windows before they are made.

    Args:
        text: the field of the text that is read in windows.
        parameter: the overlap's, where the request names it: it is then what to change.
        taken: rows that the input has made already.
    """

    def check(num_rows: int) -> None:
        """Raises where there are too many rows."""
        if num_rows == 1 or num_rows + taken <= MAX_ROWS:
            return
        count = f"{num_rows + taken} windows, at most {MAX_ROWS} are read at once"
        if parameter is None:
            raise TooLong(f"makes {count}; send a shorter text.", text)
        raise InvalidInput(
            f"makes {count}; send a smaller overlap or a shorter text.", f"parameters.{parameter}"
        )

    return check


def row_limit(tokenizer: Tokenizer, limits: Limits) -> int:
    """The most tokens that one row of the task may have."""
    return min(limits.max_tokens or tokenizer.max_tokens, tokenizer.max_tokens)


def fit_row(
    tokenizer: Tokenizer,
    text: str,
    pair: str | None,
    limits: Limits,
    *,
    field: str = "inputs",
    side: str | None = None,
    with_offsets: bool = False,
) -> tuple[Tokens, bool]:
    """One row within the limits, and whether it was cut.

    Raises:
        TooLong: it is longer than the limits, and their rule is not to truncate.
    """
    most = row_limit(tokenizer, limits)
    tokens, total = tokenizer.encode(text, pair, most, side, with_offsets=with_offsets)
    if total > most:
        refuse_unless_truncating(limits, total, most, field)
    return tokens, total > most


def refuse_unless_truncating(limits: Limits, total: int, most: int, field: str) -> None:
    """Raise TooLong where the length rule allows no cut."""
    if limits.overflow is Overflow.REJECT:
        raise TooLong(f"{total} tokens, the limit is {most}; send a shorter text.", field)


def _kind(value: Any) -> str:
    names = {list: "a list", dict: "an object", str: "a string", bool: "a Boolean", int: "a number"}
    return "null" if value is None else names.get(type(value), "a number")
