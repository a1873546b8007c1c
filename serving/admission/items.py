"""How many inputs one request may have."""

from __future__ import annotations

from collections.abc import Sequence

from adapter_runtime import InvalidInput


def check_items(items: Sequence[object], most: int) -> None:
    """Return if there are some inputs, and not too many.

    Raises:
        InvalidInput: there are none, or more than `most`.
    """
    if not items:
        raise InvalidInput("is empty; expected at least one input.")
    if len(items) > most:
        raise InvalidInput(f"holds {len(items)} items; send at most {most} at once.")
