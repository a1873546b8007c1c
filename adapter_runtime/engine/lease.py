"""What one batch holds on the device: pinned slots and heads, released whatever happens."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from torch import Tensor

from adapter_runtime.engine.library import Library
from adapter_runtime.errors import PolyheadError
from adapter_runtime.residency.slots import HeadPool, SlotPool
from adapter_runtime.types import Composition, TaskVersion, leaves


class Lease:
    """Pins the adapters and heads of a batch's versions; a context manager for one thread.

    Args:
        library: where weights come from.
        slots, heads: the device's pools.
    """

    def __init__(self, library: Library, slots: SlotPool, heads: HeadPool) -> None:
        self.library, self.slots, self.heads = library, slots, heads
        self.head_weights: dict[str, Mapping[str, Tensor]] = {}
        self.load_s = 0.0
        self._adapters: set[str] = set()
        self._outcomes: dict[tuple[Composition | None, str], PolyheadError | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Take all pins back."""
        for digest in self._adapters:
            self.slots.release(digest)
        for digest in self.head_weights:
            self.heads.release(digest)

    def pin(self, version: TaskVersion) -> PolyheadError | None:
        """Pin all that a version needs, once; the reason where that is impossible now.

        Blocks on the upload where something is not on the device yet.
        """
        weights = (version.composition, version.head.digest)
        if weights not in self._outcomes:
            self._outcomes[weights] = self._try(version)
        return self._outcomes[weights]

    def _try(self, version: TaskVersion) -> PolyheadError | None:
        try:
            for leaf in leaves(version.composition):
                self._pin_adapter(leaf.ref)
            self._pin_head(version.head.digest)
        except PolyheadError as error:
            return error
        return None

    def _pin_adapter(self, digest: str) -> None:
        if digest in self._adapters:
            return
        if self.slots.pin(digest) is None:
            started_s = time.perf_counter()
            self.slots.acquire(self.library.item(digest))
            self.load_s += time.perf_counter() - started_s
        self._adapters.add(digest)

    def _pin_head(self, digest: str) -> None:
        if digest in self.head_weights:
            return
        weights = self.heads.pin(digest)
        self.head_weights[digest] = (
            self.heads.acquire(self.library.item(digest)) if weights is None else weights
        )
