"""Parsed weights in host memory: an LRU by bytes that loads each key once."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from adapter_runtime.errors import CapacityError
from adapter_runtime.types import Residency


class Sized(Protocol):
    """A value that knows its bytes."""

    @property
    def num_bytes(self) -> int:
        """Host bytes."""
        ...


Value = TypeVar("Value", bound=Sized)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a key could not be loaded, and when another try is allowed (clock seconds)."""

    error: Exception
    retry_at_s: float


class AdapterStore(Generic[Value]):
    """Host values by key, least recently used first out, save those kept; thread-safe.

    Args:
        max_bytes: of all values together.
        retry_after_s: for so long a failed load is answered with the same error.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        max_bytes: int,
        retry_after_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_bytes = max_bytes
        self._retry_after_s = retry_after_s
        self._clock = clock
        self._lock = threading.Lock()
        self._values: OrderedDict[str, Value] = OrderedDict()
        self._loading: dict[str, Future[Value]] = {}
        self._failures: dict[str, Failure] = {}
        self._kept: set[str] = set()
        self._num_bytes = 0

    def __contains__(self, key: str) -> bool:
        with self._lock:
            return key in self._values

    def __len__(self) -> int:
        with self._lock:
            return len(self._values)

    @property
    def num_bytes(self) -> int:
        """Bytes of all values."""
        with self._lock:
            return self._num_bytes

    def get(self, key: str, load: Callable[[], Value]) -> Value:
        """The key's value, loaded by the first caller while others wait for it. Blocks.

        Raises:
            CapacityError: the value alone exceeds the store.
            Exception: what `load` raised, now or within the retry time.
        """
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
            self._raise_remembered(key)
            flight = self._loading.get(key)
            if flight is None:
                mine = self._loading[key] = Future()
        if flight is not None:
            return flight.result()
        return self._load(key, load, mine)

    def _raise_remembered(self, key: str) -> None:
        failure = self._failures.get(key)
        if failure is None:
            return
        if self._clock() < failure.retry_at_s:
            raise failure.error.with_traceback(None)
        del self._failures[key]

    def _load(self, key: str, load: Callable[[], Value], flight: Future[Value]) -> Value:
        try:
            value = load()
            self._keep(key, value)
        except BaseException as error:
            with self._lock:
                self._loading.pop(key, None)
                if isinstance(error, Exception):
                    retry_at_s = self._clock() + self._retry_after_s
                    self._failures[key] = Failure(error, retry_at_s)
            flight.set_exception(error)
            raise
        flight.set_result(value)
        return value

    def _keep(self, key: str, value: Value) -> None:
        with self._lock:
            kept = [self._values[name].num_bytes for name in self._kept if name in self._values]
            if value.num_bytes > self.max_bytes - sum(kept):
                raise CapacityError(
                    f"Weights of {value.num_bytes} bytes exceed the host limit of "
                    f"{self.max_bytes}, less what pinned tasks hold; raise host_bytes."
                )
            self._loading.pop(key)
            self._values[key] = value
            self._num_bytes += value.num_bytes
            self._make_room(key)

    def _make_room(self, newest: str) -> None:
        for key in list(self._values):
            if self._num_bytes <= self.max_bytes:
                return
            if key != newest and key not in self._kept:
                self._num_bytes -= self._values.pop(key).num_bytes

    def keep(self, key: str) -> None:
        """Never evict a key's value from now on; the caller sees to it that others find room."""
        with self._lock:
            self._kept.add(key)

    def discard(self, key: str) -> None:
        """Forget a key's value and its failure; a kept key is kept no longer."""
        with self._lock:
            self._failures.pop(key, None)
            self._kept.discard(key)
            value = self._values.pop(key, None)
            if value is not None:
                self._num_bytes -= value.num_bytes

    def forgive(self, key: str) -> None:
        """Forget a key's failure, because its value is at hand again."""
        with self._lock:
            self._failures.pop(key, None)

    def failure(self, key: str) -> Failure | None:
        """The key's remembered failure, if it still holds."""
        with self._lock:
            failure = self._failures.get(key)
            return failure if failure and self._clock() < failure.retry_at_s else None

    def residency(self, key: str) -> Residency:
        """ABSENT, LOADING, HOST or FAILED."""
        if self.failure(key):
            return Residency.FAILED
        with self._lock:
            if key in self._values:
                return Residency.HOST
            return Residency.LOADING if key in self._loading else Residency.ABSENT

    def check_integrity(self) -> None:
        """Assert that the books are right; cheap enough for tests and idle times."""
        with self._lock:
            total = sum(value.num_bytes for value in self._values.values())
            assert total == self._num_bytes <= self.max_bytes, "Byte count is off. This is a bug."
            assert not self._values.keys() & self._loading.keys(), "Loaded twice. This is a bug."
