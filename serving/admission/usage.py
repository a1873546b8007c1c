"""What every key has used since the start, by task. Belongs to the event loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from serving.metrics import Recorder
from serving.task_labels import OTHER, UNKNOWN

_MAX_PAIRS = 10_000
_COMMON = (UNKNOWN, OTHER)


@dataclass(slots=True)
class Used:
    """Sums of one key and task."""

    requests: int = 0
    refused: int = 0
    tokens: int = 0


class Usage:
    """Books Calls.

    Args:
        recorder: gets them as metrics too.
        max_pairs: keys and tasks together that are told apart; other tasks share one line of
            their key, and no key has more than half of these.
    """

    def __init__(self, recorder: Recorder, max_pairs: int = _MAX_PAIRS) -> None:
        self._recorder = recorder
        self._max_pairs = max_pairs
        self._used: dict[str, dict[str, Used]] = {}
        self._num_pairs = 0

    def answered(self, key: str, task: str, tokens: int) -> None:
        """One Call got its answer."""
        task = self._bounded(key, task)
        used = self._of(key, task)
        used.requests += 1
        used.tokens += tokens
        self._recorder.add("polyhead_key_requests_total", task, key, "ok")
        self._recorder.add("polyhead_key_tokens_total", task, key, value=tokens)

    def refused(self, key: str, task: str) -> None:
        """One Call got an error; a task that never answered this key may be made up."""
        task = task if task in self._used.get(key, ()) else UNKNOWN
        used = self._of(key, task)
        used.requests += 1
        used.refused += 1
        self._recorder.add("polyhead_key_requests_total", task, key, "refused")

    def of(self, key: str, sees: Callable[[str], bool]) -> dict[str, Any]:
        """One key's use by task.

        Args:
            key: its name.
            sees: whether a task's name may be told.
        """
        found = sorted(self._used.get(key, {}).items())
        return {task: asdict(used) for task, used in found if task in _COMMON or sees(task)}

    def names(self) -> list[str]:
        """Keys that have used anything."""
        return sorted(self._used)

    def _bounded(self, key: str, task: str) -> str:
        """A key has at most as many lines as are left for all: nobody takes those of the others."""
        own = self._used.get(key, {})
        is_room = len(own) < self._max_pairs - self._num_pairs
        return task if task in own or is_room else OTHER

    def _of(self, key: str, task: str) -> Used:
        tasks = self._used.setdefault(key, {})
        if task not in tasks:
            self._num_pairs += 1
            tasks[task] = Used()
        return tasks[task]
