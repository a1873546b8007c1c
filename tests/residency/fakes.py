"""Adapters, methods and tables without maths, for the books of the device."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import torch

from adapter_runtime.residency.slots import SlotPool
from adapter_runtime.types import Adapter, Part, PlugPoint, Site

CPU = torch.device("cpu")
HERE, THERE = PlugPoint(0, Site.QUERY), PlugPoint(1, Site.FFN)


class FakeTable:
    """Remembers what lies in which row; parts of the settings `broken` cannot be copied."""

    num_bytes = 100
    shared_bytes = 0

    def __init__(self, on_put: Callable[[Part], None]) -> None:
        self.rows: dict[int, Part] = {}
        self.on_put = on_put

    def put(self, row: int, part: Part) -> None:
        if part.settings == "broken":
            raise RuntimeError("no copy")
        self.on_put(part)
        assert row not in self.rows
        self.rows[row] = part

    def clear(self, row: int) -> None:
        self.rows.pop(row, None)


class FakeMethod:
    """A method whose tables call `on_put` with every Part that they are given."""

    chain = "fake"

    def __init__(self, name: str, on_put: Callable[[Part], None] = lambda part: None) -> None:
        self.name = name
        self.on_put = on_put

    def table_key(self, part: Part) -> Any:
        return part.settings

    def new_table(self, part: Part, base: Any, device: Any, dtype: Any) -> FakeTable:
        return FakeTable(self.on_put)


METHODS: Any = {name: FakeMethod(name) for name in ("first", "second")}


def adapter(
    name: str,
    *,
    size: int = 1,
    points: tuple[PlugPoint, ...] = (HERE,),
    method: str = "first",
    settings: Any = "plain",
) -> Adapter:
    """An adapter with one Part at each point."""
    tensors = {"w": torch.zeros(size)}
    parts = tuple(Part(method, point, settings, tensors) for point in points)
    return Adapter(name, name, parts)


def pool(max_slots: int = 3, max_bytes: int = 10**6, methods: Any = METHODS) -> SlotPool:
    """A pool over fake methods."""
    return SlotPool(methods, {}, CPU, torch.float32, max_slots, max_bytes)


class Gate:
    """Holds whoever passes it until it is opened; says when somebody has come."""

    def __init__(self) -> None:
        self.come, self.go = threading.Event(), threading.Event()
        self.num_calls = 0

    def __call__(self, *_: Any) -> None:
        self.num_calls += 1
        self.come.set()
        assert self.go.wait(30)


def run_threads(count: int, call: Callable[[], Any]) -> list[threading.Thread]:
    """Call on several threads at once."""
    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    """Wait for threads to end; they must."""
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that another thread brings about; it must."""
    end_s = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.001)
