"""What the user asks a plan for, checked before anything is measured."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from adapter_runtime import SettingsError

ORDINARY_TOKENS = 32
"""The mean of the ordinary text that `benchmarks.rows` packs: 1,035 tokens in 32 rows."""
MOST_TASKS = 1_000_000
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_UNITS |= {"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?|)b?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Wishes:
    """A load, and how it shall be carried.

    Args:
        requests_per_s: of all tasks together.
        tokens: of one request, all its rows and special tokens included.
        tasks_total: tasks that there will be; None takes those of the catalog.
        utilisation: share of a replica's throughput that is planned with, above 0, at most 1.
        resident: tasks in memory on each replica; None takes all that fit.
        spare: replicas that may be lost, 0 or more.
        zipf: how unevenly tasks are asked: the exponent of Zipf's law; 0 is evenly.
        memory: bytes that a replica may have; None does not bound it.

    Raises:
        SettingsError: a value is out of range.
    """

    requests_per_s: float
    tokens: float = ORDINARY_TOKENS
    tasks_total: int | None = None
    utilisation: float = 0.6
    resident: int | None = None
    spare: int = 1
    zipf: float = 1.0
    memory: int | None = None

    def __post_init__(self) -> None:
        for is_fine, text in (
            (
                _within(self.requests_per_s, 0, 1e9),
                "--requests-per-second must be above 0 and at most 1e9.",
            ),
            (1 <= self.tokens <= 1e7, "--tokens must be from 1 to 10000000."),
            (_within(self.utilisation, 0, 1), "--utilisation must be above 0 and at most 1."),
            (0 <= self.spare <= 1000, "--spare must be from 0 to 1000."),
            (0 <= self.zipf <= 5, "--zipf must be from 0 (all tasks alike) to 5."),
            (self.resident is None or self.resident >= 1, "--resident must be 1 or more, or all."),
        ):
            if not is_fine:
                raise SettingsError(text)
        if self.tasks_total is not None and not 1 <= self.tasks_total <= MOST_TASKS:
            raise SettingsError(f"--tasks-total must be from 1 to {MOST_TASKS}.")


def _within(value: float, above: float, most: float) -> bool:
    return math.isfinite(value) and above < value <= most


def read_size(text: str) -> int:
    """Bytes from a number with or without a unit: `4Gi`, `512M`, but not `1e9`.

    Raises:
        SettingsError: it is no size.
    """
    found = _SIZE.fullmatch(text.strip())
    size = int(float(found[1]) * _UNITS[found[2].casefold()]) if found else 0
    if size < 1:
        raise SettingsError(f"--memory {text}: write a size such as 4Gi or 512Mi.")
    return size


def read_resident(text: str | None) -> int | None:
    """A number of tasks; `all` is more than there can be, None as many as fit.

    Raises:
        SettingsError: it is neither.
    """
    if text is None:
        return None
    if text.strip().casefold() == "all":
        return MOST_TASKS
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"--resident {text}: write a number of tasks, or all.") from None
