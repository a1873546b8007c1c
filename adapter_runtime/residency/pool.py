"""Things on the device by content digest: pinned while in use, uploaded beside running batches."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from concurrent.futures import Future
from typing import Generic, TypeVar

import torch

from adapter_runtime.errors import OutOfMemory
from adapter_runtime.memory import is_out_of_memory
from adapter_runtime.residency.pins import Residents

Item = TypeVar("Item")
Value = TypeVar("Value")


class DevicePool(ABC, Generic[Item, Value]):
    """A bounded pool whose books are never locked while bytes are copied; thread-safe.

    Room is booked first, then the copy is made under a lock that only uploads and evictions
    take, then the value is entered. So pinning what is resident waits for nobody's upload.

    Args:
        max_count: most things at once.
        max_bytes: most bytes of them at once.
        what: the plural noun for messages.
    """

    def __init__(self, max_count: int, max_bytes: int, what: str) -> None:
        # Whoever needs both takes `_copying` first.
        self._copying = threading.Lock()
        self._lock = threading.Lock()
        self._residents: Residents[Value] = Residents(max_count, max_bytes, what)
        self._coming: dict[str, Future[None]] = {}
        self._leaving: list[Value] = []
        self._unwanted: set[str] = set()
        self.num_evicted = 0

    @abstractmethod
    def bytes_of(self, item: Item) -> int:
        """Bytes that a thing counts on the device."""

    @abstractmethod
    def _place(self, item: Item) -> Value:
        """Copy a thing to the device; undoes everything when it fails."""

    @abstractmethod
    def _clear(self, value: Value) -> None:
        """Give back what a thing takes on the device."""

    def _forget(self, digest: str) -> None:
        """Called when a thing leaves the books, under their lock."""

    def pin(self, digest: str) -> Value | None:
        """Pin what is resident; None when it must be acquired."""
        with self._lock:
            return self._residents.pin(digest)

    def release(self, digest: str) -> None:
        """Take back one pin; the thing stays resident until its room is needed."""
        with self._lock:
            is_last = self._residents.unpin(digest)
            if is_last:
                self._strike_out(digest)
        if is_last:
            self._sweep(waits=False)

    def _acquire(self, digest: str, item: Item) -> Value:
        """Pin a thing, uploading it first where it is not resident. Blocks on the copy."""
        while True:
            with self._lock:
                value = self._residents.pin(digest)
                if value is not None:
                    return value
                flight = self._coming.get(digest)
                if flight is None:
                    self._book(digest, self.bytes_of(item))
                    mine = self._coming[digest] = Future()
            if flight is None:
                return self._upload(digest, item, mine)
            flight.result()

    def _book(self, digest: str, num_bytes: int) -> None:
        for victim in self._residents.book(digest, num_bytes):
            self._gone(victim, self._residents.evict(victim))

    def _upload(self, digest: str, item: Item, flight: Future[None]) -> Value:
        try:
            value = self._copy(item)
        except BaseException as error:
            with self._lock:
                self._residents.cancel(digest)
                self._unwanted.discard(digest)
                del self._coming[digest]
            flight.set_exception(error)
            raise
        with self._lock:
            self._residents.enter(digest, value, is_leaving=digest in self._unwanted)
            self._unwanted.discard(digest)
            del self._coming[digest]
        flight.set_result(None)
        return value

    def _copy(self, item: Item) -> Value:
        """Place a thing; where memory runs out, once more without all that nobody uses."""
        with self._copying:
            self._sweep_now()
            try:
                return self._place(item)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            self._shed()
            try:
                return self._place(item)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                raise OutOfMemory(
                    "The device's memory is too full for these weights; lower device_bytes or "
                    "max_slots, or pin fewer tasks."
                ) from error

    def _shed(self) -> None:
        with self._lock:
            for digest in self._residents.unpinned():
                self._strike_out(digest)
        self._sweep_now()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _strike_out(self, digest: str) -> None:
        self._gone(digest, self._residents.remove(digest))

    def _gone(self, digest: str, value: Value) -> None:
        self._leaving.append(value)
        self.num_evicted += 1
        self._forget(digest)

    def _sweep(self, *, waits: bool) -> None:
        """Clear what has left the books; what is not swept now, the next upload sweeps."""
        if self._copying.acquire(blocking=waits):
            try:
                self._sweep_now()
            finally:
                self._copying.release()

    def _sweep_now(self) -> None:
        with self._lock:
            leaving, self._leaving = self._leaving, []
        for value in leaving:
            self._clear(value)

    def drop(self, digest: str) -> bool:
        """Evict a thing now if it is resident and not in use; says whether it was. Blocks."""
        with self._lock:
            entry = self._residents.entries.get(digest)
            if entry is None or entry.pins:
                return False
            self._strike_out(digest)
        self._sweep(waits=True)
        return True

    def discard(self, digest: str) -> None:
        """Evict a thing that nobody will ask for again: now, or with its last pin. Blocks."""
        with self._lock:
            entry = self._residents.entries.get(digest)
            if entry is not None and entry.pins:
                entry.is_leaving = True
            elif digest in self._coming:
                self._unwanted.add(digest)
        self.drop(digest)

    def is_used(self, digest: str) -> bool:
        """Whether somebody has it pinned."""
        with self._lock:
            entry = self._residents.entries.get(digest)
            return entry is not None and entry.pins > 0

    def __contains__(self, digest: str) -> bool:
        with self._lock:
            return digest in self._residents.entries

    def __len__(self) -> int:
        with self._lock:
            return len(self._residents.entries)

    @property
    def num_used(self) -> int:
        """Things that somebody has pinned now."""
        with self._lock:
            return len(self._residents.entries) - len(self._residents.unpinned())

    @property
    def num_bytes(self) -> int:
        """Bytes of what is resident or on its way."""
        with self._lock:
            return self._residents.num_bytes

    def check_integrity(self) -> None:
        """Assert that counts, bytes and pins agree. Waits for an upload under way."""
        with self._copying, self._lock:
            self._residents.check_integrity()
