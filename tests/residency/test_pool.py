import random

import pytest
import torch

from adapter_runtime.errors import CapacityError
from adapter_runtime.residency.slots import HeadPool
from adapter_runtime.types import HeadSpec, HeadWeights
from tests.residency.fakes import CPU, FakeMethod, Gate, adapter, join, pool, run_threads, until


def gated(name, gate):
    """Methods whose copy of one adapter's Parts waits at a gate."""
    return {
        "first": FakeMethod("first", lambda part: gate() if part.settings == name else None),
    }


def slow(name="slow"):
    """The adapter that waits."""
    return adapter(name, settings=name)


def test_what_is_resident_never_waits_for_another_upload():
    """Pinning, finding and releasing go on while a copy is under way."""
    gate = Gate()
    slots = pool(methods=gated("slow", gate))
    warm = slots.acquire(adapter("warm"))
    threads = run_threads(1, lambda: slots.acquire(slow()))
    assert gate.come.wait(30)
    for _ in range(3):
        assert slots.pin("warm") is warm is slots.slot("warm")
        slots.release("warm")
    assert "slow" not in slots
    assert slots.num_free == 1  # its room is booked
    gate.go.set()
    join(threads)
    assert "slow" in slots
    slots.check_integrity()


def test_parallel_users_of_one_adapter_share_one_upload():
    """All of them hold it afterwards."""
    gate, found = Gate(), []
    slots = pool(methods=gated("slow", gate))
    threads = run_threads(4, lambda: found.append(slots.acquire(slow())))
    assert gate.come.wait(30)
    gate.go.set()
    join(threads)
    assert gate.num_calls == 1
    assert {id(slot) for slot in found} == {id(slots.slot("slow"))}
    for _ in range(4):
        assert not slots.drop("slow")
        slots.release("slow")
    assert slots.drop("slow")


def test_room_that_is_booked_is_given_to_nobody_else():
    """An upload under way counts like a pinned adapter, in number and bytes."""
    gate = Gate()
    slots = pool(max_slots=2, max_bytes=12, methods=gated("slow", gate))
    threads = run_threads(1, lambda: slots.acquire(slow()))
    assert gate.come.wait(30)
    with pytest.raises(CapacityError):
        slots.acquire(adapter("large", size=3))
    waiting = run_threads(1, lambda: slots.acquire(adapter("small", size=2)))
    until(lambda: not slots.num_free)  # The second one has booked its room too.
    with pytest.raises(CapacityError):
        slots.acquire(adapter("third"))
    gate.go.set()
    join([*threads, *waiting])
    assert ("slow" in slots, "small" in slots, slots.num_bytes) == (True, True, 12)
    slots.check_integrity()


def test_an_upload_that_fails_gives_its_room_back_to_all_who_wait():
    """Each of them learns the reason, and the next try is a new one."""
    gate, errors = Gate(), []

    def fail(part):
        gate()
        raise ValueError("no copy")

    slots = pool(methods={"first": FakeMethod("first", fail)})

    def acquire():
        try:
            slots.acquire(adapter("a"))
        except ValueError as error:
            errors.append(str(error))

    threads = run_threads(3, acquire)
    assert gate.come.wait(30)
    gate.go.set()
    join(threads)
    assert errors == ["no copy"] * 3
    assert (slots.num_free, slots.num_bytes, slots.table_bytes) == (3, 0, 0)
    slots.check_integrity()


def test_what_nobody_will_ask_for_leaves_with_its_last_pin():
    """Unless somebody asks for it after all."""
    slots = pool()
    for name in "ab":
        slots.acquire(adapter(name))
        slots.discard(name)
        assert name in slots
    slots.pin("b")
    for name in "abb":
        slots.release(name)
    assert ("a" in slots, "b" in slots) == (False, True)
    slots.discard("b")
    assert (slots.num_free, slots.table_bytes) == (3, 0)
    slots.check_integrity()


def test_what_is_not_wanted_any_more_when_it_comes_leaves_likewise():
    """A version may be retired while its weights are copied."""
    gate = Gate()
    slots = pool(methods=gated("slow", gate))
    threads = run_threads(1, lambda: slots.acquire(slow()))
    assert gate.come.wait(30)
    slots.discard("slow")
    gate.go.set()
    join(threads)
    assert "slow" in slots
    slots.release("slow")
    assert (slots.num_free, slots.table_bytes) == (3, 0)
    slots.check_integrity()


class Full:
    """A device that is out of memory for its first copies."""

    def __init__(self, times):
        self.times = times

    def __call__(self, part):
        if self.times and part.settings == "new":
            self.times -= 1
            raise torch.OutOfMemoryError("CUDA out of memory.")


def full_pool(times):
    """A pool with a pinned and an unpinned adapter, and no memory for the next copies."""
    slots = pool(methods={"first": FakeMethod("first", Full(times))})
    for name in ("pinned", "idle"):
        slots.acquire(adapter(name))
    slots.release("idle")
    return slots


def test_memory_that_is_full_is_emptied_of_what_nobody_uses():
    """Then the copy is made once more."""
    slots = full_pool(1)
    assert slots.acquire(adapter("new", settings="new"))
    assert [name in slots for name in ("pinned", "idle", "new")] == [True, False, True]
    slots.check_integrity()


def test_memory_that_stays_full_is_a_lack_of_room():
    """Everything half-done is undone, the remedy is told, and what is pinned stays."""
    slots = full_pool(2)
    with pytest.raises(CapacityError, match="lower device_bytes"):
        slots.acquire(adapter("new", settings="new"))
    assert slots.pin("pinned")
    assert slots.num_free == 2
    slots.check_integrity()
    assert slots.acquire(adapter("new", settings="new"))


def use_at_random(slots, names, seed, rounds):
    """Pin, hold for a moment, release, drop and discard; every pin is given back."""
    draw, held = random.Random(seed), []
    for _ in range(rounds):
        name = draw.choice(names)
        act = draw.random()
        if act < 0.1:
            slots.drop(name)
        elif act < 0.15:
            slots.discard(name)
        elif act < 0.6 or not held:
            try:
                slot = slots.acquire(adapter(name, size=ord(name) % 3 + 1))
            except CapacityError:
                continue
            assert slots.slot(name) is slot, "a pinned adapter moved"
            held.append(name)
        else:
            slots.release(held.pop(draw.randrange(len(held))))
    for name in held:
        slots.release(name)


@pytest.mark.parametrize("seed", range(3))
def test_the_books_hold_under_many_threads(seed):
    """Pinned adapters stay where they are; free and used make all, at every moment."""
    slots = pool(max_slots=4, max_bytes=40)
    seeds = iter(range(100 * seed, 100 * seed + 8))
    threads = run_threads(8, lambda: use_at_random(slots, "abcdefgh", next(seeds), 300))
    while any(thread.is_alive() for thread in threads):
        slots.check_integrity()
    join(threads)
    slots.check_integrity()
    assert slots.num_used == 0
    for name in "abcdefgh":
        slots.drop(name)
    assert (slots.num_free, slots.num_bytes, slots.table_bytes) == (4, 0, 0)


def test_heads_share_uploads_and_leave_likewise():
    """The pool of heads keeps the same books."""
    heads = HeadPool(CPU, max_bytes=16)
    one = HeadWeights(HeadSpec("classification", None, digest="one"), {"w": torch.ones(3)})
    found = []
    join(run_threads(4, lambda: found.append(heads.acquire(one)["w"])))
    assert len({id(tensor) for tensor in found}) == 1
    heads.discard("one")
    for _ in found:
        assert "one" in heads
        heads.release("one")
    assert ("one" in heads, heads.num_bytes) == (False, 0)
    heads.check_integrity()
