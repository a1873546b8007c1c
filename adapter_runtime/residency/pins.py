"""Who is on the device: pinned keys stay, those of the others that are worth least make room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from adapter_runtime.errors import CapacityError
from adapter_runtime.residency.worth import Worth

Value = TypeVar("Value")


@dataclass(slots=True)
class Resident(Generic[Value]):
    """One key's value, its bytes, and how many use it now.

    Args:
        is_leaving: to be evicted with its last pin, because nobody will ask for it again.
    """

    value: Value
    num_bytes: int
    pins: int = 1
    is_leaving: bool = False


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
        self.entries: dict[str, Resident[Value]] = {}
        self.booked: dict[str, int] = {}
        self.num_bytes = 0
        self._worth = Worth()

    @property
    def num_free(self) -> int:
        """Keys that may still come without anybody leaving."""
        return self.max_count - len(self.entries) - len(self.booked)

    def pin(self, key: str) -> Value | None:
        """Pin a resident key and mark it as used; None when it is not resident."""
        entry = self.entries.get(key)
        if entry is None:
            return None
        entry.pins += 1
        entry.is_leaving = False
        self._use(key, entry.num_bytes)
        return entry.value

    def unpin(self, key: str) -> bool:
        """Take back one pin; says whether the key should leave now."""
        entry = self.entries[key]
        assert entry.pins > 0, f"{key} was released more often than acquired. This is a bug."
        entry.pins -= 1
        return entry.is_leaving and not entry.pins

    def _use(self, key: str, num_bytes: int) -> None:
        self._worth.use(key, num_bytes, max(num_bytes / self.max_bytes, 1 / self.max_count))

    def book(self, key: str, num_bytes: int) -> list[str]:
        """Hold room for a key that is on its way; the keys to evict for it, in order.

        Raises:
            CapacityError: it does not fit beside what is pinned; nothing has changed.
        """
        victims = self._victims(num_bytes)
        self.booked[key] = num_bytes
        self.num_bytes += num_bytes
        return victims

    def _victims(self, num_bytes: int) -> list[str]:
        count = 1 - self.num_free
        excess, chosen = self.num_bytes + num_bytes - self.max_bytes, []
        for key in self._worth.cheapest(self.unpinned()) if count > 0 or excess > 0 else ():
            if count <= 0 and excess <= 0:
                break
            chosen.append(key)
            count -= 1
            excess -= self.entries[key].num_bytes
        if count > 0 or excess > 0:
            raise CapacityError(
                f"No room on the device: {self.max_count} {self.what} and {self.max_bytes} bytes "
                "at most, and too many are in use; send smaller batches or raise the limits."
            )
        return chosen

    def cancel(self, key: str) -> None:
        """Give back the room of a key that did not come."""
        self.num_bytes -= self.booked.pop(key)

    def enter(self, key: str, value: Value, *, is_leaving: bool = False) -> None:
        """Enter the value of a booked key, pinned once."""
        self.entries[key] = Resident(value, self.booked.pop(key), is_leaving=is_leaving)
        self._use(key, self.entries[key].num_bytes)

    def evict(self, key: str) -> Value:
        """Strike out an unpinned key because its room is needed."""
        self._worth.evict(key)
        return self.remove(key)

    def remove(self, key: str) -> Value:
        """Strike out an unpinned key and return its value."""
        self._worth.forget(key)
        entry = self.entries.pop(key)
        assert entry.pins == 0, f"{key} is pinned and was evicted. This is a bug."
        self.num_bytes -= entry.num_bytes
        return entry.value

    def unpinned(self) -> list[str]:
        """The keys that nobody uses now."""
        return [key for key, entry in self.entries.items() if not entry.pins]

    def check_integrity(self) -> None:
        """Assert that counts, bytes and limits agree."""
        total = sum(entry.num_bytes for entry in self.entries.values()) + sum(self.booked.values())
        assert total == self.num_bytes <= self.max_bytes, "Byte count is off. This is a bug."
        assert self.num_free >= 0, "Too many residents. This is a bug."
        assert not self.entries.keys() & self.booked.keys(), "Booked twice. This is a bug."
        assert all(entry.pins >= 0 for entry in self.entries.values()), "Bad pins. This is a bug."
