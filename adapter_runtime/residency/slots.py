"""Adapters on the device, by content digest: slots that batches pin, and heads likewise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adapter_runtime.methods.stacks import factor_dtype
from adapter_runtime.residency.pool import DevicePool
from adapter_runtime.residency.tables import DeviceTables, Methods, Placements
from adapter_runtime.residency.uploads import bring, brought
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


class SlotPool(DevicePool[Adapter, Slot]):
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
        super().__init__(max_slots, max_bytes, "adapters")
        self.methods = methods
        self.device = device
        self._tables = DeviceTables(methods, bases, device, dtype)
        self._numbers = list(range(max_slots, 0, -1))
        self._item_bytes = factor_dtype(device, dtype).itemsize  # no method takes more
        self._watchers: list[Callable[[str], None]] = []

    def watch(self, forget: Callable[[str], None]) -> None:
        """Call with the digest of every adapter that leaves; must be quick, and not call back."""
        self._watchers.append(forget)

    def acquire(self, adapter: Adapter) -> Slot:
        """Pin an adapter, uploading it first where it is not resident. Blocks on the copy.

        Raises:
            CapacityError: everything that could make room is pinned, or memory is full.
        """
        return self._acquire(adapter.digest, adapter)

    def bytes_of(self, item: Adapter) -> int:
        """Bytes that an adapter counts on the device."""
        return item.num_bytes // torch.float32.itemsize * self._item_bytes

    def _place(self, item: Adapter) -> Slot:
        # Tables outlive the forward that first needs them, so they are no inference tensors.
        with torch.inference_mode(False), torch.no_grad():
            placements = self._tables.place(brought(item, self.device))
        numbers = [place.number for found in placements.values() for place in found]
        return Slot(self._numbers.pop(), placements, hash(tuple(numbers)))

    def _clear(self, value: Slot) -> None:
        with torch.inference_mode(False), torch.no_grad():
            self._tables.remove(value.placements)
        self._numbers.append(value.number)

    def _forget(self, digest: str) -> None:
        for forget in self._watchers:
            forget(digest)

    def slot(self, digest: str) -> Slot:
        """The slot of a resident adapter; KeyError otherwise. Its rows hold still while pinned."""
        with self._lock:
            return self._residents.entries[digest].value

    @property
    def num_free(self) -> int:
        """Slots that hold nothing and are not booked."""
        with self._lock:
            return self._residents.num_free

    @property
    def table_bytes(self) -> int:
        """Bytes that the tables hold on the device, free rows included."""
        with self._copying:
            return self._tables.num_bytes

    @property
    def shared_bytes(self) -> int:
        """Device bytes that are the host's own memory; waits for nobody."""
        return self._tables.shared_bytes

    def check_integrity(self) -> None:
        """Assert that slots, rows, bytes and pins agree. Waits for an upload under way."""
        super().check_integrity()
        with self._copying, self._lock:
            slots = [entry.value for entry in self._residents.entries.values()]
            # A copy that is made but not entered yet shows in neither list.
            if self._residents.booked:
                return
            slots += self._leaving
            numbers = sorted([*self._numbers, *(slot.number for slot in slots)])
            expected = list(range(1, self._residents.max_count + 1))
            assert numbers == expected, "Slots lost or shared. This is a bug."
            rows = [
                (placement.number, placement.row)
                for slot in slots
                for placements in slot.placements.values()
                for placement in placements
            ]
            assert sorted(rows) == sorted(self._tables.used_rows()), "Rows differ. This is a bug."


class HeadPool(DevicePool[HeadWeights, Mapping[str, Tensor]]):
    """Heads' weights on the device, pinned and counted in bytes like adapters; thread-safe.

    They are float32 whatever the backbone computes in: fewer digits would tie their scores.

    Args:
        device: of the weights.
        max_bytes: most bytes at once.
        max_count: most heads at once.
    """

    def __init__(
        self,
        device: torch.device,
        max_bytes: int = 2 << 30,
        max_count: int = 65536,
    ) -> None:
        super().__init__(max_count, max_bytes, "heads")
        self._device = device

    def acquire(self, head: HeadWeights) -> Mapping[str, Tensor]:
        """Pin a head, uploading it first where it is not resident. Blocks on the copy.

        Raises:
            CapacityError: everything that could make room is pinned, or memory is full.
        """
        return self._acquire(head.spec.digest, head)

    @property
    def shared_bytes(self) -> int:
        """Device bytes that are the host's own memory."""
        return self.num_bytes if self._device.type == "cpu" else 0

    def bytes_of(self, item: HeadWeights) -> int:
        """Bytes that a head counts on the device."""
        return _elements(item.tensors) * torch.float32.itemsize

    def _place(self, item: HeadWeights) -> Mapping[str, Tensor]:
        # Nobody writes weights: where host and device are one memory, one copy serves both.
        (weights,) = bring([item.tensors], self._device)
        return {name: tensor.to(self._device, torch.float32) for name, tensor in weights.items()}

    def _clear(self, value: Mapping[str, Tensor]) -> None:
        """The tensors go with their last reference."""


def _elements(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors.values())
