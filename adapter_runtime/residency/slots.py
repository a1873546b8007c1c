"""Adapters on the device, by content digest: slots that batches pin, and heads likewise."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adapter_runtime.residency.pins import Residents
from adapter_runtime.residency.tables import DeviceTables, Methods, Placements
from adapter_runtime.types import Adapter, HeadWeights, PlugPoint


@dataclass(frozen=True, slots=True)
class Slot:
    """One resident adapter.

    Args:
        number: 1 or more; 0 stands for the identity, which needs no slot.
        placements: where its Parts lie, by plug point, in the order of the method table.
        family: equal for adapters that lie in the same tables.
    """

    number: int
    placements: Placements
    family: int


class SlotPool:
    """Owner of the adapters on the device; thread-safe, also while a forward reads pinned slots.

    A slot is a number; slot 0 is the identity. Its weights lie in the tables of the plug points
    where the adapter has Parts.

    Args:
        methods: the method table.
        bases: the frozen module behind each module point.
        device, dtype: of the stacked weights.
        max_slots: most adapters at once.
        max_bytes: most bytes of adapter weights at once; stacks that have just grown may hold
            up to twice as much.
    """

    def __init__(
        self,
        methods: Methods,
        bases: Mapping[PlugPoint, nn.Module],
        device: torch.device,
        dtype: torch.dtype,
        max_slots: int = 1024,
        max_bytes: int = 2 << 30,
    ) -> None:
        self.methods = methods
        self.device = device
        self._lock = threading.Lock()
        self._tables = DeviceTables(methods, bases, device, dtype)
        self._residents: Residents[Slot] = Residents(max_slots, max_bytes, "adapters")
        self._free = list(range(max_slots, 0, -1))
        self._item_bytes = dtype.itemsize

    def pin(self, digest: str) -> Slot | None:
        """Pin a resident adapter; None when it must be acquired."""
        with self._lock:
            return self._residents.pin(digest)

    def acquire(self, adapter: Adapter) -> Slot:
        """Pin an adapter, uploading it first where it is not resident. Blocks on the copy.

        Raises:
            CapacityError: everything that could make room is pinned.
        """
        with self._lock:
            slot = self._residents.pin(adapter.digest)
            return self._upload(adapter) if slot is None else slot

    def release(self, digest: str) -> None:
        """Take back one pin; the adapter stays resident until its room is needed."""
        with self._lock:
            self._residents.unpin(digest)

    def bytes_of(self, adapter: Adapter) -> int:
        """Bytes that an adapter counts on the device."""
        return sum(_elements(part.tensors) for part in adapter.parts) * self._item_bytes

    def _upload(self, adapter: Adapter) -> Slot:
        num_bytes = self.bytes_of(adapter)
        for victim in self._residents.victims(num_bytes):
            self._evict(victim)
        # Tables outlive the forward that first needs them, so they are no inference tensors.
        with torch.inference_mode(False), torch.no_grad():
            placements = self._tables.place(adapter)
        numbers = [place.number for found in placements.values() for place in found]
        slot = Slot(self._free.pop(), placements, hash(tuple(numbers)))
        self._residents.add(adapter.digest, slot, num_bytes)
        return slot

    def _evict(self, digest: str) -> None:
        slot = self._residents.remove(digest)
        self._tables.remove(slot.placements)
        self._free.append(slot.number)

    def drop(self, digest: str) -> bool:
        """Evict an adapter now if it is resident and not in use; says whether it was."""
        with self._lock:
            entry = self._residents.entries.get(digest)
            if entry is None or entry.pins:
                return False
            self._evict(digest)
            return True

    def slot(self, digest: str) -> Slot:
        """The slot of a resident adapter; KeyError otherwise. Its rows hold still while pinned."""
        with self._lock:
            return self._residents.entries[digest].value

    def __contains__(self, digest: str) -> bool:
        with self._lock:
            return digest in self._residents.entries

    def __len__(self) -> int:
        with self._lock:
            return len(self._residents.entries)

    @property
    def num_free(self) -> int:
        """Slots that hold nothing."""
        with self._lock:
            return len(self._free)

    @property
    def num_bytes(self) -> int:
        """Bytes of the resident adapters' weights."""
        with self._lock:
            return self._residents.num_bytes

    @property
    def table_bytes(self) -> int:
        """Bytes that the tables hold on the device, free rows included."""
        with self._lock:
            return self._tables.num_bytes

    def check_integrity(self) -> None:
        """Assert that slots, rows, bytes and pins agree."""
        with self._lock:
            self._residents.check_integrity()
            slots = [entry.value for entry in self._residents.entries.values()]
            numbers = sorted([*self._free, *(slot.number for slot in slots)])
            expected = list(range(1, self._residents.max_count + 1))
            assert numbers == expected, "Slots lost or shared. This is a bug."
            rows = [
                (placement.number, placement.row)
                for slot in slots
                for placements in slot.placements.values()
                for placement in placements
            ]
            assert sorted(rows) == sorted(self._tables.used_rows()), "Rows differ. This is a bug."


class HeadPool:
    """Heads' weights on the device, pinned and counted in bytes like adapters; thread-safe.

    Args:
        device, dtype: of the weights.
        max_bytes: most bytes at once.
    """

    def __init__(
        self,
        device: torch.device,
        dtype: torch.dtype,
        max_bytes: int = 2 << 30,
        max_count: int = 65536,
    ) -> None:
        self._lock = threading.Lock()
        self._device = device
        self._dtype = dtype
        self._residents: Residents[Mapping[str, Tensor]] = Residents(max_count, max_bytes, "heads")

    def pin(self, digest: str) -> Mapping[str, Tensor] | None:
        """Pin a resident head and return its tensors; None when it must be acquired."""
        with self._lock:
            return self._residents.pin(digest)

    def acquire(self, head: HeadWeights) -> Mapping[str, Tensor]:
        """Pin a head, uploading it first where it is not resident. Blocks on the copy.

        Raises:
            CapacityError: everything that could make room is pinned.
        """
        with self._lock:
            tensors = self._residents.pin(head.spec.digest)
            return self._upload(head) if tensors is None else tensors

    def bytes_of(self, head: HeadWeights) -> int:
        """Bytes that a head counts on the device."""
        return _elements(head.tensors) * self._dtype.itemsize

    def _upload(self, head: HeadWeights) -> Mapping[str, Tensor]:
        num_bytes = self.bytes_of(head)
        for victim in self._residents.victims(num_bytes):
            self._residents.remove(victim)
        tensors = {
            name: tensor.to(self._device, self._dtype, copy=True)
            for name, tensor in head.tensors.items()
        }
        self._residents.add(head.spec.digest, tensors, num_bytes)
        return tensors

    def release(self, digest: str) -> None:
        """Take back one pin."""
        with self._lock:
            self._residents.unpin(digest)

    def __contains__(self, digest: str) -> bool:
        with self._lock:
            return digest in self._residents.entries

    @property
    def num_bytes(self) -> int:
        """Bytes of the resident heads."""
        with self._lock:
            return self._residents.num_bytes

    def check_integrity(self) -> None:
        """Assert that counts, bytes and pins agree."""
        with self._lock:
            self._residents.check_integrity()


def _elements(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors.values())
