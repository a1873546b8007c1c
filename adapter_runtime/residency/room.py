"""What is admitted and pinned now, so that the widest composition always finds room."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import NamedTuple

from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.types import Note


class Need(NamedTuple):
    """What weights take up, or may: slots, and bytes of adapters, of heads and on the host."""

    slots: int = 0
    adapter_bytes: int = 0
    head_bytes: int = 0
    host_bytes: int = 0


Needs = Mapping[str, Need]
"""What a version needs, by the digests of its weights."""

_REMEDIES = Need("max_slots", "device_bytes", "device_bytes", "host_bytes")  # type: ignore[arg-type]


class Room:
    """Refuses what could never run; not thread-safe, its owner locks.

    Versions come and go under keys of their owner's.

    Args:
        limits: of the machine.
    """

    def __init__(self, limits: Need) -> None:
        self.limits = limits
        self._admitted: dict[Hashable, Need] = {}
        self._pinned: dict[Hashable, Needs] = {}
        self._widest: Need | None = Need()

    @property
    def widest(self) -> Need:
        """The most of everything that an admitted version needs."""
        if self._widest is None:
            self._widest = Need(*map(max, zip(Need(), *self._admitted.values(), strict=True)))
        return self._widest

    @property
    def free_slots(self) -> int:
        """Slots that no pinned version holds."""
        return self.limits.slots - self._held().slots

    @property
    def num_pinned(self) -> int:
        """Distinct weights that pinned versions hold."""
        return len(self._pinned_needs())

    def check(self, task: str, needs: Needs, *, is_pinned: bool) -> None:
        """Whether a version's weights fit beside everything pinned.

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
        pinned = self._held(needs if is_pinned else {})
        widest = _larger(self.widest, total)
        for held, need, limit, setting in zip(pinned, widest, self.limits, _REMEDIES, strict=True):
            if held + need > limit:
                message = (
                    f"Pinned tasks hold {held} of {limit} {setting}, and the widest task needs "
                    f"{need} beside them; raise {setting} or pin fewer tasks."
                )
                raise RejectedAdapter(task, [Note("no_room_beside_pins", message)])

    def admit(self, key: Hashable, needs: Needs) -> None:
        """Count a version that was checked; a second time is nothing."""
        self._admitted[key] = _total(needs.values())
        if self._widest is not None:
            self._widest = _larger(self._widest, self._admitted[key])

    def pin(self, key: Hashable, needs: Needs) -> None:
        """Count a version's weights as held for good."""
        self._pinned[key] = needs

    def unpin(self, key: Hashable) -> None:
        """End a pin, if there is one."""
        self._pinned.pop(key, None)

    def leave(self, key: Hashable) -> None:
        """Count a version no longer."""
        self.unpin(key)
        if self._admitted.pop(key, None) is not None:
            self._widest = None

    def _pinned_needs(self) -> dict[str, Need]:
        return {digest: need for needs in self._pinned.values() for digest, need in needs.items()}

    def _held(self, more: Needs | None = None) -> Need:
        return _total({**self._pinned_needs(), **(more or {})}.values())


def _total(needs: Iterable[Need]) -> Need:
    return Need(*map(sum, zip(Need(), *needs, strict=True)))


def _larger(one: Need, other: Need) -> Need:
    return Need(*map(max, one, other))
