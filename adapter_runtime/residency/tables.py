"""The device tables of all methods: one per plug point, method and table key, made when needed."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Mapping
from typing import NamedTuple

import torch
from torch import nn

from adapter_runtime.methods.base import Method, Table
from adapter_runtime.types import Adapter, Part, PlugPoint

Methods = Mapping[str, Method]
TableId = tuple[PlugPoint, str, Hashable]


class Placement(NamedTuple):
    """Where one Part lies on the device; `number` is unique to the table for its lifetime."""

    method: str
    table: Table
    row: int
    number: int


Placements = Mapping[PlugPoint, tuple[Placement, ...]]


class _TableRows:
    """A table and which of its rows are free; row 0 is the identity."""

    def __init__(self, table: Table, number: int, key: TableId) -> None:
        self.table = table
        self.number = number
        self.key = key
        self.used: set[int] = set()
        self._free: list[int] = []

    def take(self) -> int:
        # The lowest free row: adapters loaded alike lie alike in every table, so routing can
        # share index tensors between points, and consecutive rows are read without a copy.
        """A free row, now in use."""
        row = heapq.heappop(self._free) if self._free else len(self.used) + 1
        self.used.add(row)
        return row

    def give_back(self, row: int) -> None:
        """Free a row."""
        self.table.clear(row)
        self.used.remove(row)
        heapq.heappush(self._free, row)


class DeviceTables:
    """Places Parts into tables and takes them out again; not thread-safe, its owner locks.

    Args:
        methods: the method table.
        bases: the frozen module behind each module point.
        device, dtype: of the stacked weights.
    """

    def __init__(
        self,
        methods: Methods,
        bases: Mapping[PlugPoint, nn.Module],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._methods = methods
        self._bases = bases
        self._device = device
        self._dtype = dtype
        self._tables: dict[TableId, _TableRows] = {}
        self._by_number: dict[int, _TableRows] = {}
        self._num_made = 0

    @property
    def num_bytes(self) -> int:
        """Device bytes of all tables, free rows included."""
        return sum(rows.table.num_bytes for rows in self._tables.values())

    @property
    def shared_bytes(self) -> int:
        """Of these, what is the host's own memory; what is under way counts or not."""
        return sum(rows.table.shared_bytes for rows in list(self._tables.values()))

    def place(self, adapter: Adapter) -> Placements:
        """Copy all Parts to the device, in the order of the method table. Blocks."""
        order = {name: number for number, name in enumerate(self._methods)}
        placed: dict[PlugPoint, tuple[Placement, ...]] = {}
        try:
            for part in sorted(adapter.parts, key=lambda part: order[part.method]):
                rows = self._rows(part)
                place = Placement(part.method, rows.table, rows.take(), rows.number)
                placed[part.point] = (*placed.get(part.point, ()), place)
                rows.table.put(place.row, part)
        except BaseException:
            self.remove(placed)
            raise
        return placed

    def _rows(self, part: Part) -> _TableRows:
        method = self._methods[part.method]
        key = (part.point, part.method, method.table_key(part))
        if key not in self._tables:
            base = self._bases.get(part.point)
            table = method.new_table(part, base, self._device, self._dtype)  # type: ignore[arg-type]
            self._num_made += 1
            self._tables[key] = _TableRows(table, self._num_made, key)
            self._by_number[self._num_made] = self._tables[key]
        return self._tables[key]

    def remove(self, placements: Placements) -> None:
        """Free the rows; a table without rows is dropped."""
        for found in placements.values():
            for placement in found:
                rows = self._by_number[placement.number]
                rows.give_back(placement.row)
                if not rows.used:
                    del self._tables[rows.key], self._by_number[placement.number]

    def used_rows(self) -> set[tuple[int, int]]:
        """Every (table number, row) in use."""
        return {(rows.number, row) for rows in self._tables.values() for row in rows.used}
