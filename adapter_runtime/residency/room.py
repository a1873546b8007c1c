"""What was admitted and pinned so far, so that the widest composition always finds room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.types import Note


class Need(NamedTuple):
    """What weights take up, or may: slots, and bytes of adapters, of heads and on the host."""

    slots: int = 0
    adapter_bytes: int = 0
    head_bytes: int = 0
    host_bytes: int = 0


_REMEDIES = Need("max_slots", "device_bytes", "device_bytes", "host_bytes")  # type: ignore[arg-type]


class Room:
    """Refuses what could never run; not thread-safe, its owner locks.

    Args:
        limits: of the machine.
    """

    def __init__(self, limits: Need) -> None:
        self.limits = limits
        self.widest = Need()
        self._pinned: Mapping[str, Need] = {}

    @property
    def free_slots(self) -> int:
        """Slots that no pinned task holds."""
        return self.limits.slots - _total(self._pinned.values()).slots

    def check(self, task: str, needs: Mapping[str, Need], *, is_pinned: bool) -> None:
        """Whether a version's weights, by digest, fit beside everything pinned.

        Raises:
            RejectedAdapter: `too_wide` or `too_large` for the machine even when alone, or
                `no_room_beside_pins` when pinned tasks would leave too little for the widest.
        """
        total = _total(needs.values())
        for name, need, limit, setting in zip(
            Need._fields, total, self.limits, _REMEDIES, strict=True
        ):
            if need > limit:
                code = "too_wide" if name == "slots" else "too_large"
                what = "adapters" if name == "slots" else name.replace("_", " ")
                message = f"It needs {need} {what} at once and {limit} are allowed; "
                raise RejectedAdapter(task, [Note(code, f"{message}raise {setting}.")])
        pinned = _total(({**self._pinned, **needs} if is_pinned else self._pinned).values())
        widest = _larger(self.widest, total)
        for held, need, limit, setting in zip(pinned, widest, self.limits, _REMEDIES, strict=True):
            if held + need > limit:
                message = (
                    f"Pinned tasks hold {held} of {limit} {setting}, and the widest task needs "
                    f"{need} beside them; raise {setting} or pin fewer tasks."
                )
                raise RejectedAdapter(task, [Note("no_room_beside_pins", message)])

    def admit(self, needs: Mapping[str, Need], *, is_pinned: bool) -> None:
        """Remember a version that was checked."""
        self.widest = _larger(self.widest, _total(needs.values()))
        if is_pinned:
            self._pinned = {**self._pinned, **needs}


def _total(needs: Iterable[Need]) -> Need:
    return Need(*map(sum, zip(Need(), *needs, strict=True)))


def _larger(one: Need, other: Need) -> Need:
    return Need(*map(max, one, other))
