"""Parsed weights in host memory: bounded by bytes, each key loaded once."""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from adapter_runtime.errors import CapacityError, OutOfMemory
from adapter_runtime.memory import is_out_of_memory
from adapter_runtime.residency.worth import Worth
from adapter_runtime.types import Residency


class Sized(Protocol):
    """A value that knows its bytes."""

    @property
    def num_bytes(self) -> int:
        """Host bytes."""
        ...


Value = TypeVar("Value", bound=Sized)
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a key could not be loaded, when another try is allowed (clock seconds), how often so."""

    error: Exception
    retry_at_s: float
    count: int = 1


class AdapterStore(Generic[Value]):
    """Host values by key; what is worth least leaves first, save what is kept. Thread-safe.

    Args:
        max_bytes: of all values together.
        retry_after_s: for so long a failed load is answered with the same error; doubled with
            each failure in a row.
        longest_retry_s: the doubling ends here.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        max_bytes: int,
        retry_after_s: float = 10.0,
        longest_retry_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_bytes = max_bytes
        self.num_loads = self.num_failed = self.num_evicted = 0
        self._retry_after_s = retry_after_s
        self._longest_retry_s = longest_retry_s
        self._clock = clock
        self._lock = threading.Lock()
        self._values: dict[str, Value] = {}
        self._worth = Worth()
        self._loading: dict[str, Future[Value]] = {}
        self._failures: dict[str, Failure] = {}
        self._kept: Counter[str] = Counter()
        self._sizes: dict[str, int] = {}
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
            CapacityError: the value alone exceeds the store, or the machine's memory is full.
            Exception: what `load` raised, now or within the retry time.
        """
        with self._lock:
            if key in self._values:
                self._use(key)
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
        if failure is not None and self._clock() < failure.retry_at_s:
            raise failure.error.with_traceback(None)

    def _load(self, key: str, load: Callable[[], Value], flight: Future[Value]) -> Value:
        try:
            value = self.within_memory(load)
            with self._lock:
                self.num_loads += 1
                # A key that was discarded meanwhile is nobody's: its value is not kept.
                if self._loading.get(key) is flight:
                    self._enter(key, value)
                    del self._loading[key]
        except BaseException as error:
            with self._lock:
                if self._loading.get(key) is flight:
                    del self._loading[key]
                    self._remember(key, error)
            flight.set_exception(error)
            raise
        flight.set_result(value)
        return value

    def within_memory(self, load: Callable[[], Found]) -> Found:
        """What `load` returns; where memory runs out, once more without all that nobody keeps.

        Raises:
            OutOfMemory: there is still too little.
            Exception: what `load` raised.
        """
        try:
            return load()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        self._shed()
        try:
            return load()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory(
                "The machine's memory is too full to load these weights; lower host_bytes or "
                "give the process more memory."
            ) from error

    def _shed(self) -> None:
        with self._lock:
            for key in list(self._values):
                if key not in self._kept:
                    self._evict(key)

    def _remember(self, key: str, error: BaseException) -> None:
        self.num_failed += 1
        if isinstance(error, Exception):
            _forget_locals(error)
            before = self._failures.get(key)
            count = before.count + 1 if before else 1
            wait_s = min(self._retry_after_s * 2 ** min(count - 1, 60), self._longest_retry_s)
            self._failures[key] = Failure(error, self._clock() + wait_s, count)

    def put(self, key: str, value: Value) -> None:
        """Enter a value that is at hand, as used now; a failure of its key is forgotten.

        Raises:
            CapacityError: the value alone exceeds the store.
        """
        with self._lock:
            self._failures.pop(key, None)
            if key in self._values:
                self._use(key)
            else:
                self._enter(key, value)

    def _enter(self, key: str, value: Value) -> None:
        if key in self._values:
            return
        kept = [self._values[name].num_bytes for name in self._kept if name in self._values]
        if value.num_bytes > self.max_bytes - sum(kept):
            raise CapacityError(
                f"Weights of {value.num_bytes} bytes exceed the host limit of {self.max_bytes}, "
                "less what pinned tasks hold; raise host_bytes."
            )
        self._failures.pop(key, None)
        self._values[key] = value
        self._sizes[key] = value.num_bytes
        self._num_bytes += self._sizes[key]
        self._use(key)
        self._make_room(key)

    def _use(self, key: str) -> None:
        num_bytes = self._sizes[key]
        self._worth.use(key, num_bytes, max(num_bytes, 1) / self.max_bytes)

    def _make_room(self, newest: str) -> None:
        if self._num_bytes <= self.max_bytes:
            return
        others = [key for key in self._values if key != newest and key not in self._kept]
        for key in self._worth.cheapest(others):
            self._worth.evict(key)
            self._evict(key)
            if self._num_bytes <= self.max_bytes:
                return

    def _evict(self, key: str) -> None:
        self._remove(key)
        self.num_evicted += 1

    def _remove(self, key: str) -> None:
        del self._values[key]
        self._num_bytes -= self._sizes.pop(key)
        self._worth.forget(key)

    def keep(self, key: str) -> None:
        """Never evict a key's value until `unkeep`; counts. The caller sees to others' room."""
        with self._lock:
            self._kept[key] += 1

    def unkeep(self, key: str) -> None:
        """Take back one `keep`."""
        with self._lock:
            self._kept[key] -= 1
            assert self._kept[key] >= 0, f"{key} was kept less often. This is a bug."
            if not self._kept[key]:
                del self._kept[key]

    def drop(self, key: str) -> bool:
        """Evict a key's value now unless it is kept; says whether it was there."""
        with self._lock:
            if key not in self._values or key in self._kept:
                return False
            self._evict(key)
            return True

    def discard(self, key: str) -> None:
        """Forget a key: its value, its failure, and a load under way."""
        with self._lock:
            self._failures.pop(key, None)
            self._loading.pop(key, None)
            if key in self._values:
                self._remove(key)

    def retry(self, key: str) -> None:
        """Let the next load of a key try at once, however the last one ended."""
        with self._lock:
            if (failure := self._failures.get(key)) is not None:
                self._failures[key] = replace(failure, retry_at_s=self._clock())

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
            assert all(count > 0 for count in self._kept.values()), "Bad keeps. This is a bug."


def _forget_locals(error: BaseException | None) -> None:
    """An error that is remembered would keep what its frames had read, such as whole files."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
