"""Who is on the device: pinned keys stay, the least recently used of the others make room."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

from adapter_runtime.errors import CapacityError

Value = TypeVar("Value")


@dataclass(slots=True)
class Resident(Generic[Value]):
    """One key's value, its bytes, and how many batches use it now."""

    value: Value
    num_bytes: int
    pins: int = 1


class Residents(Generic[Value]):
    """The books of a device pool; not thread-safe, its owner locks.

    Args:
        max_count: most keys at once.
        max_bytes: most bytes at once.
        what: the plural noun for messages.
    """

    def __init__(self, max_count: int, max_bytes: int, what: str) -> None:
        self.max_count = max_count
        self.max_bytes = max_bytes
        self.what = what
        self.entries: OrderedDict[str, Resident[Value]] = OrderedDict()
        self.num_bytes = 0

    def pin(self, key: str) -> Value | None:
        """Pin a resident key and mark it as used; None when it is not resident."""
        entry = self.entries.get(key)
        if entry is None:
            return None
        entry.pins += 1
        self.entries.move_to_end(key)
        return entry.value

    def unpin(self, key: str) -> None:
        """Take back one pin."""
        entry = self.entries[key]
        assert entry.pins > 0, f"{key} was released more often than acquired. This is a bug."
        entry.pins -= 1

    def victims(self, num_bytes: int) -> list[str]:
        """The keys to evict, oldest first, before a value of so many bytes fits.

        Raises:
            CapacityError: it does not fit beside what is pinned.
        """
        count, total, chosen = len(self.entries) + 1, self.num_bytes + num_bytes, []
        for key, entry in self.entries.items():
            if count <= self.max_count and total <= self.max_bytes:
                break
            if entry.pins == 0:
                chosen.append(key)
                count -= 1
                total -= entry.num_bytes
        if count > self.max_count or total > self.max_bytes:
            raise CapacityError(
                f"No room on the device: {self.max_count} {self.what} and {self.max_bytes} bytes "
                "at most, and too many are in use; send smaller batches or raise the limits."
            )
        return chosen

    def add(self, key: str, value: Value, num_bytes: int) -> None:
        """Enter a value, pinned once."""
        self.entries[key] = Resident(value, num_bytes)
        self.num_bytes += num_bytes

    def remove(self, key: str) -> Value:
        """Strike out an unpinned key and return its value."""
        entry = self.entries.pop(key)
        assert entry.pins == 0, f"{key} is pinned and was evicted. This is a bug."
        self.num_bytes -= entry.num_bytes
        return entry.value

    def check_integrity(self) -> None:
        """Assert that counts, bytes and limits agree."""
        total = sum(entry.num_bytes for entry in self.entries.values())
        assert total == self.num_bytes <= self.max_bytes, "Byte count is off. This is a bug."
        assert len(self.entries) <= self.max_count, "Too many residents. This is a bug."
        assert all(entry.pins >= 0 for entry in self.entries.values()), "Bad pins. This is a bug."
