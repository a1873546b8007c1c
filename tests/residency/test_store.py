import threading
import weakref
from dataclasses import dataclass

import pytest

from adapter_runtime.errors import CapacityError, SourceError
from adapter_runtime.residency.store import AdapterStore
from adapter_runtime.types import Residency
from tests.residency.fakes import run_threads


@dataclass
class Blob:
    num_bytes: int


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def fail():
    """A load that fails."""
    raise SourceError("gone")


def never():
    """A load that must not happen."""
    raise AssertionError("loaded again")


def test_the_least_recently_used_value_makes_room():
    """Bytes are bounded; what was used last stays."""
    store = AdapterStore(10)
    for key in "abc":
        store.get(key, lambda: Blob(3))
    store.get("a", never)
    store.get("d", lambda: Blob(3))
    assert [key in store for key in "abcd"] == [True, False, True, True]
    assert (3, 9) == (len(store), store.num_bytes)
    store.check_integrity()


def test_a_value_larger_than_the_store_is_refused():
    """One giant never empties the store."""
    store = AdapterStore(10)
    store.get("a", lambda: Blob(3))
    with pytest.raises(CapacityError, match="host_bytes"):
        store.get("b", lambda: Blob(11))
    assert "a" in store
    store.check_integrity()


def test_kept_values_stay_and_the_others_share_the_rest():
    """A kept value is not evicted; what does not fit beside it is refused, until it is let go."""
    store = AdapterStore(10)
    store.keep("a")
    for key in "abcd":
        store.get(key, lambda: Blob(4))
    assert [key in store for key in "abcd"] == [True, False, False, True]
    with pytest.raises(CapacityError, match="pinned"):
        store.get("e", lambda: Blob(7))
    store.unkeep("a")
    store.get("f", lambda: Blob(7))
    assert [key in store for key in "adf"] == [False, False, True]
    store.check_integrity()


def test_a_failure_is_remembered_until_its_retry_time():
    """Within the retry time callers get the same error without a load; then it is tried again."""
    clock = Clock()
    store = AdapterStore(10, retry_after_s=5, clock=clock)
    for load in (fail, never):
        with pytest.raises(SourceError):
            store.get("a", load)
    assert store.residency("a") is Residency.FAILED
    clock.now = 5.0
    assert store.get("a", lambda: Blob(1)) == Blob(1)
    assert store.residency("a") is Residency.HOST


def failed_at(store, clock, seconds):
    """Whether a load at that time fails anew, and not from memory."""
    clock.now, calls = seconds, []
    with pytest.raises(SourceError):
        store.get("a", lambda: calls.append(1) or fail())
    return bool(calls)


def test_failures_in_a_row_double_the_wait_up_to_a_limit():
    """A key is tried ever less often; one success makes all forgotten."""
    clock = Clock()
    store = AdapterStore(10, retry_after_s=10, longest_retry_s=40, clock=clock)
    tries = [second for second in range(200) if failed_at(store, clock, second)]
    assert tries == [0, 10, 30, 70, 110, 150, 190]
    clock.now = 230
    store.get("a", lambda: Blob(1))
    store.discard("a")
    assert [second for second in range(300, 330) if failed_at(store, clock, second)] == [300, 310]


def test_a_load_that_runs_out_of_memory_is_tried_again_in_more_room():
    """What nobody pinned makes room first."""
    store, calls = AdapterStore(10), []
    store.get("kept", lambda: Blob(2))
    store.keep("kept")
    store.get("other", lambda: Blob(2))

    def load():
        calls.append("other" in store)
        if len(calls) == 1:
            raise MemoryError
        return Blob(3)

    assert store.get("a", load) == Blob(3)
    assert calls == [True, False]
    assert "kept" in store
    store.check_integrity()


def test_a_failure_does_not_keep_what_was_read_for_it():
    """The error is remembered, the file that it is about is not."""
    store, seen = AdapterStore(10), []

    def load():
        content = Blob(1)
        seen.append(weakref.ref(content))
        raise SourceError("bad")

    with pytest.raises(SourceError):
        store.get("a", load)
    assert seen[0]() is None


@pytest.mark.parametrize("error", (MemoryError(), RuntimeError("[enforce fail] not enough memory")))
def test_memory_that_stays_full_is_a_lack_of_room_with_the_remedy(error):
    """The store goes on; the reason is remembered like any other."""
    store = AdapterStore(10)

    def load():
        raise error

    with pytest.raises(CapacityError, match="lower host_bytes"):
        store.get("a", load)
    assert isinstance(store.failure("a").error, CapacityError)
    assert store.get("b", lambda: Blob(2)) == Blob(2)
    store.check_integrity()


def test_a_key_that_is_discarded_while_it_loads_is_not_kept():
    """Who waits gets the value; the store forgets it, and a later load is a new one."""
    store, load, found = AdapterStore(10), SlowLoad(), []
    (thread,) = run_threads(1, lambda: found.append(store.get("a", load)))
    assert load.started.wait(10)
    store.discard("a")
    load.go.set()
    thread.join()
    assert found == [Blob(1)]
    assert (0, 0) == (len(store), store.num_bytes)
    assert store.get("a", lambda: Blob(2)) == Blob(2)


def test_keeps_count():
    """Two that keep a value must both let it go."""
    store = AdapterStore(10)
    store.put("a", Blob(1))
    store.keep("a")
    store.keep("a")
    store.unkeep("a")
    assert not store.drop("a")
    store.unkeep("a")
    assert store.drop("a")
    assert not store.drop("a")
    assert 0 == store.num_bytes


def test_discard_forgets_value_and_failure():
    """A discarded key is loaded afresh."""
    store = AdapterStore(10)
    store.get("a", lambda: Blob(1))
    with pytest.raises(SourceError):
        store.get("b", fail)
    store.discard("a")
    store.discard("b")
    assert store.residency("a") is store.residency("b") is Residency.ABSENT
    assert 0 == store.num_bytes
    assert store.get("b", lambda: Blob(2)) == Blob(2)


def test_a_value_that_is_found_again_is_forgiven_its_failure():
    """The same content at another Source need not wait for the retry time."""
    store = AdapterStore(10, retry_after_s=5, clock=Clock())

    with pytest.raises(SourceError):
        store.get("a", fail)
    store.put("a", Blob(1))
    assert store.get("a", never) == Blob(1)


class SlowLoad:
    """A load that waits until it is let go, and counts its calls."""

    def __init__(self):
        self.started = threading.Event()
        self.go = threading.Event()
        self.num_calls = 0

    def __call__(self):
        self.num_calls += 1
        self.started.set()
        assert self.go.wait(10)
        return Blob(1)


def test_parallel_callers_of_one_key_share_one_load():
    """The first caller loads, the others wait for its value."""
    store, load, found = AdapterStore(10), SlowLoad(), []
    threads = run_threads(4, lambda: found.append(store.get("a", load)))
    assert load.started.wait(10)
    assert store.residency("a") is Residency.LOADING
    load.go.set()
    for thread in threads:
        thread.join()
    assert 1 == load.num_calls
    assert [Blob(1)] * 4 == found


def test_a_slow_key_does_not_delay_another():
    """Keys load independently."""
    store, load = AdapterStore(10), SlowLoad()
    (thread,) = run_threads(1, lambda: store.get("slow", load))
    assert load.started.wait(10)
    assert store.get("quick", lambda: Blob(2)) == Blob(2)
    load.go.set()
    thread.join()
    assert {"slow", "quick"} == {key for key in ("slow", "quick") if key in store}


def test_who_asks_for_another_try_gets_one():
    """It need not wait for the retry time; failing again waits as long as ever."""
    store = AdapterStore(10, retry_after_s=5, clock=Clock())
    for load in (fail, fail):
        with pytest.raises(SourceError):
            store.get("a", load)
        store.retry("a")
    store.retry("never heard of")
    assert store.get("a", lambda: Blob(1)).num_bytes == 1
