"""Texts as the Open Inference Protocol's bytes, and bytes that follow the JSON of a body."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from adapter_runtime import InvalidInput

BINARY_SIZE = "binary_data_size"
_LENGTH_BYTES = 4


class Attached:
    """Bytes that follow a request's JSON; tensors take theirs in order.

    Args:
        content: all of them.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._taken = 0

    def take(self, size: Any, place: str) -> bytes:
        """The next bytes.

        Raises:
            InvalidInput: there are not so many.
        """
        left = len(self._content) - self._taken
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= left:
            message = (
                f"expected how many of the {left} bytes left behind the JSON are this tensor's, "
                "with the JSON's own length in Inference-Header-Content-Length."
            )
            raise InvalidInput(message, place)
        self._taken += size
        return self._content[self._taken - size : self._taken]

    def check_empty(self) -> None:
        """Refuse bytes that no tensor has taken.

        Raises:
            InvalidInput: some are left.
        """
        left = len(self._content) - self._taken
        if left:
            message = f"{left} bytes behind the JSON belong to no tensor; see {BINARY_SIZE}."
            raise InvalidInput(message, "body")


def texts_of(content: bytes, place: str) -> list[str]:
    """Texts, each behind its length: four bytes in little endian.

    Args:
        content: of one tensor.
        place: of the tensor, for messages.

    Raises:
        InvalidInput: a length reaches past the end, or a text is not UTF-8.
    """
    found: list[str] = []
    begin = 0
    while begin < len(content):
        start = begin + _LENGTH_BYTES
        end = start + int.from_bytes(content[begin:start], "little")
        if start > len(content) or end > len(content):
            message = f"element {len(found)} ends past the tensor's {len(content)} bytes; each "
            raise InvalidInput(
                f"{message}stands behind its length in 4 bytes, little endian.", place
            )
        try:
            found.append(content[start:end].decode())
        except UnicodeDecodeError as error:
            raise InvalidInput(f"element {len(found)} is not UTF-8.", place) from error
        begin = end
    return found


def packed_texts(texts: Iterable[str]) -> bytes:
    """Texts as `texts_of` reads them."""
    return packed_bytes(text.encode() for text in texts)


def packed_bytes(elements: Iterable[bytes]) -> bytes:
    """Likewise, of texts that are in UTF-8 already."""
    return b"".join(
        part for each in elements for part in (len(each).to_bytes(_LENGTH_BYTES, "little"), each)
    )
