"""What each version has: weights in the library, room, holds on the device, a pin."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from adapter_runtime.engine.lease import Lease
from adapter_runtime.engine.library import Library, Use
from adapter_runtime.errors import PolyheadError, SourceError
from adapter_runtime.residency.room import Need, Needs, Room
from adapter_runtime.residency.slots import HeadPool, SlotPool
from adapter_runtime.types import Residency, TaskSpec, TaskVersion, leaves

Key = tuple[str, str]
_COLDEST = (Residency.FAILED, Residency.LOADING, Residency.ABSENT, Residency.HOST)


@dataclass(slots=True)
class _Holding:
    """One version's; `reads` has an entry for each time that it was read, by its entry then."""

    needs: Needs
    reads: list[tuple[TaskSpec, Sequence[Use]]] = field(default_factory=list)
    pin: Lease | None = None

    def take(self, spec: TaskSpec) -> Sequence[Use]:
        """The uses of one reading: that of the entry, which may differ in where files lie."""
        number = next((i for i, read in enumerate(self.reads) if read[0] is spec), -1)
        return self.reads.pop(number)[1] if self.reads else ()


class Holdings:
    """Gives versions what they need and takes it back; thread-safe.

    Args:
        library: weights on the host.
        slots, heads: the device's pools.
        room: what was promised.
    """

    def __init__(self, library: Library, slots: SlotPool, heads: HeadPool, room: Room) -> None:
        self.library, self.slots, self.heads, self.room = library, slots, heads, room
        self._lock = threading.Lock()
        self._versions: dict[Key, _Holding] = {}
        self._holds: dict[Key, list[Lease]] = {}

    def enter(self, version: TaskVersion, uses: Sequence[Use]) -> None:
        """A version was read; what it uses is held until it leaves."""
        needs = self.needs(version)
        with self._lock:
            holding = self._versions.setdefault(_key(version), _Holding(needs))
            holding.reads.append((version.spec, uses))

    def _holding(self, version: TaskVersion) -> _Holding:
        found = self._versions.get(_key(version))
        if found is None:  # Nobody would take back what it got now.
            raise SourceError(f"{version.task}: the version was retired; add it again.")
        return found

    def needs(self, version: TaskVersion) -> Needs:
        """What each of a version's weights takes. May block as `load` for one that was not read."""
        with self._lock:
            found = self._versions.get(_key(version))
        if found is not None:
            return found.needs
        head = self.library.item(version.head.digest)
        needs = {head.spec.digest: Need(0, 0, self.heads.bytes_of(head), head.num_bytes)}
        for leaf in leaves(version.composition):
            adapter = self.library.item(leaf.ref)
            needs[leaf.ref] = Need(1, self.slots.bytes_of(adapter), 0, adapter.num_bytes)
        return needs

    def check_room(self, version: TaskVersion, *, is_pinned: bool) -> None:
        """Whether there is room for a version.

        Raises:
            RejectedAdapter: as `Room.check`.
        """
        needs = self.needs(version)
        with self._lock:
            self.room.check(version.task, needs, is_pinned=is_pinned)

    def admit(self, version: TaskVersion) -> None:
        """Promise room to a version; a second time is nothing.

        Raises:
            RejectedAdapter: there is none.
            SourceError: it was retired.
        """
        needs = self.needs(version)
        with self._lock:
            self._holding(version)
            self.room.check(version.task, needs, is_pinned=False)
            self.room.admit(_key(version), needs)

    @property
    def num_pinned(self) -> int:
        """Adapters and heads that pinned versions hold."""
        with self._lock:
            return self.room.num_pinned

    def slots_to_share(self) -> tuple[int, int]:
        """Slots that no pin holds, and those that the widest version needs."""
        with self._lock:
            return self.room.free_slots, self.room.widest.slots

    def leave(self, version: TaskVersion) -> None:
        """End one reading of a version; with the last one go its room and its pin."""
        with self._lock:
            holding = self._versions.get(_key(version))
            if holding is None:
                return
            uses = holding.take(version.spec)
            lease = None
            if not holding.reads:
                del self._versions[_key(version)]
                self.room.leave(_key(version))
                lease, holding.pin = holding.pin, None
        if lease is not None:
            self._let_go(lease, holding.needs)
        self.give_back(uses)

    def give_back(self, uses: Iterable[Use]) -> None:
        """End uses; what nobody uses leaves host and device."""
        for digest in self.library.give_back(uses):
            self.slots.discard(digest)
            self.heads.discard(digest)

    def pin(self, version: TaskVersion) -> None:
        """Hold a version's weights on host and device until unpinned; again is nothing. Blocks.

        Raises:
            RejectedAdapter: no room beside other pins, or the files are not what they were.
            SourceError: the files are gone, or it was retired.
            CapacityError: no room beside the batches of now.
        """
        needs = self.needs(version)
        self.check_room(version, is_pinned=True)
        lease, kept = self._lease(version), []
        try:
            for digest in needs:
                self.library.keep(digest)
                kept.append(digest)
            is_new = self._enter_pin(version, needs, lease)
        except BaseException:
            self._let_go(lease, kept)
            raise
        if not is_new:
            self._let_go(lease, kept)

    def _enter_pin(self, version: TaskVersion, needs: Needs, lease: Lease) -> bool:
        with self._lock:
            holding = self._holding(version)
            if holding.pin is not None:
                return False
            self.room.check(version.task, needs, is_pinned=True)
            self.room.pin(_key(version), needs)
            holding.pin = lease
            return True

    def unpin(self, version: TaskVersion) -> None:
        """End a pin, if there is one."""
        with self._lock:
            holding = self._versions.get(_key(version))
            if holding is None or holding.pin is None:
                return
            lease, holding.pin = holding.pin, None
            self.room.unpin(_key(version))
        self._let_go(lease, holding.needs)

    def _let_go(self, lease: Lease, kept: Iterable[str]) -> None:
        lease.release()
        for digest in kept:
            self.library.unkeep(digest)

    def hold(self, version: TaskVersion) -> None:
        """Bring a version's weights to the device and keep them there until released. Blocks.

        Raises:
            SourceError, RejectedAdapter: they had to be read again and could not be.
            CapacityError: everything that could make room is in use.
        """
        lease = self._lease(version)
        with self._lock:
            self._holds.setdefault(_key(version), []).append(lease)

    def release(self, version: TaskVersion) -> None:
        """Give back one hold."""
        with self._lock:
            leases = self._holds.get(_key(version))
            assert leases, f"{version.task} was released more often than held. This is a bug."
            lease = leases.pop()
            if not leases:
                del self._holds[_key(version)]
        lease.release()

    def _lease(self, version: TaskVersion) -> Lease:
        lease = Lease(self.library, self.slots, self.heads)
        try:
            error: PolyheadError | None = lease.pin(version)
            if error is not None:
                raise error
        except BaseException:
            lease.release()
            raise
        return lease

    def evict(self, version: TaskVersion) -> None:
        """Take a version's weights out of memory, save those that anybody holds."""
        for digest in _digests(version):
            if not self.slots.is_used(digest) and not self.heads.is_used(digest):
                self.slots.drop(digest)
                self.heads.drop(digest)
                self.library.store.drop(digest)

    def load(self, version: TaskVersion) -> None:
        """Bring a version's evicted weights back to host memory. Blocks; single-flight.

        A failure that is remembered is no answer here: the caller knows when to try again.

        Raises:
            SourceError, RejectedAdapter: they had to be read again and could not be.
        """
        for digest in _digests(version):
            self.library.store.retry(digest)
            self.library.item(digest)

    def residency(self, version: TaskVersion) -> Residency:
        """The coldest place of the version's weights."""
        places = {self._place(digest) for digest in _digests(version)}
        return next((place for place in _COLDEST if place in places), Residency.DEVICE)

    def _place(self, digest: str) -> Residency:
        if digest in self.slots or digest in self.heads:
            return Residency.DEVICE
        return self.library.store.residency(digest)


def _key(version: TaskVersion) -> Key:
    return version.task, version.digest


def _digests(version: TaskVersion) -> list[str]:
    return [*(leaf.ref for leaf in leaves(version.composition)), version.head.digest]
