"""How long a request may take."""

from __future__ import annotations

import math

from adapter_runtime import InvalidInput
from serving.errors import DeadlineExceeded

HEADER = "x-deadline-ms"


def deadline_s(header: str | None, default_s: float) -> float:
    """The time to answer in seconds; a client may only shorten the server's own.

    Args:
        header: the value of `x-deadline-ms`, None when absent.
        default_s: the server's limit in seconds.

    Raises:
        InvalidInput: the header is no positive number of milliseconds.
    """
    if header is None:
        return default_s
    try:
        asked_s = float("" if "_" in header else header) / 1000
    except ValueError:
        asked_s = 0.0
    if not 0 < asked_s < math.inf:  # also catches NaN
        raise InvalidInput(f"expected a positive number of milliseconds, not {header!r}.", HEADER)
    return min(asked_s, default_s)


def late(deadline_s: float) -> DeadlineExceeded:
    """The error of a request whose time is up.

    Args:
        deadline_s: the time that it had, in seconds.
    """
    return DeadlineExceeded(
        f"The answer was not ready within {deadline_s:g} s; "
        "send x-deadline-ms with more time or fewer inputs."
    )
