import pytest
import torch

from adapter_runtime.errors import CapacityError
from adapter_runtime.residency.slots import HeadPool
from adapter_runtime.types import Adapter, HeadSpec, HeadWeights
from tests.residency.fakes import CPU, HERE, THERE, adapter, pool

SEQUENCES = [
    # (operations, resident afterwards): +x acquires, -x releases, !x must find no room
    ("+a +b +c", "abc"),
    ("+a -a +b -b +c -c +d", "bcd"),
    ("+a -a +b -b +a -a +c -c +d", "acd"),
    ("+a +b -b +c +d", "acd"),
    ("+a +a -a +b +c !d", "abc"),
    ("+a +a -a -a +b +c +d", "bcd"),
    ("+a +b +c !d -b +d", "acd"),
    ("+a -a +b -b +c -c +d +e +f", "def"),
]


@pytest.mark.parametrize(("operations", "resident"), SEQUENCES)
def test_pinned_adapters_stay_and_the_oldest_other_makes_room(operations, resident):
    """Three slots under sequences of acquire and release."""
    slots = pool()
    for sign, name in operations.split():
        if sign == "+":
            slots.acquire(adapter(name))
        elif sign == "-":
            slots.release(name)
        else:
            with pytest.raises(CapacityError):
                slots.acquire(adapter(name))
        slots.check_integrity()
    assert resident == "".join(name for name in "abcdef" if name in slots)
    assert 3 == len(slots) + slots.num_free


def test_bytes_bound_the_pool_like_the_count():
    """A large adapter evicts as many small ones as it takes, and waits for pinned ones."""
    slots = pool(max_slots=9, max_bytes=40)
    for name in "abcd":
        slots.acquire(adapter(name, size=2))
        slots.release(name)
    slots.acquire(adapter("big", size=6))
    assert [False, False, True, True] == [name in slots for name in "abcd"]
    with pytest.raises(CapacityError):
        slots.acquire(adapter("huge", size=7))
    slots.check_integrity()


def test_one_adapter_used_by_many_tasks_takes_one_slot():
    """Slots are keyed by content; every acquire pins once more."""
    slots = pool()
    first, second = slots.acquire(adapter("a")), slots.acquire(adapter("a"))
    assert first is second
    assert slots.pin("a") is first
    assert slots.pin("b") is None
    for _ in range(3):
        assert not slots.drop("a")
        slots.release("a")
    assert slots.drop("a")


def test_adapters_with_equal_keys_share_a_table_and_a_family():
    """Equal settings lie in one table in different rows; a slot takes rows where it has Parts."""
    slots = pool()
    both = (HERE, THERE)
    a, b = slots.acquire(adapter("a", points=both)), slots.acquire(adapter("b", points=both))
    c = slots.acquire(adapter("c", settings="other"))
    (place_a,), (place_b,), (place_c,) = (slot.placements[HERE] for slot in (a, b, c))
    assert place_a.table is place_b.table is not place_c.table
    assert [1, 2, 1] == [place.row for place in (place_a, place_b, place_c)]
    assert a.family == b.family != c.family
    assert THERE not in c.placements


def test_parts_of_a_point_follow_the_method_table():
    """The order of Parts in a checkpoint does not matter."""
    parts = adapter("x", method="second").parts + adapter("x", method="first").parts
    slot = pool().acquire(Adapter("x", "x", parts))
    assert ["first", "second"] == [place.method for place in slot.placements[HERE]]


def test_freed_rows_are_used_again_and_empty_tables_dropped():
    """Eviction clears rows; the last one takes its table along."""
    slots = pool()
    first, _ = slots.acquire(adapter("a")), slots.acquire(adapter("b"))
    slots.release("a")
    slots.drop("a")
    again = slots.acquire(adapter("c"))
    assert first.placements[HERE][0].row == again.placements[HERE][0].row == 1
    for name in "bc":
        slots.release(name)
        slots.drop(name)
    assert (0, 0) == (slots.table_bytes, slots.num_bytes)
    slots.check_integrity()


def test_a_failed_upload_leaves_nothing_behind():
    """Rows that were taken before the failure are given back, and the slot is free again."""
    slots = pool()
    broken = Adapter("x", "x", adapter("x").parts + adapter("x", settings="broken").parts)
    with pytest.raises(RuntimeError):
        slots.acquire(broken)
    assert (3, 0) == (slots.num_free, slots.table_bytes)
    slots.check_integrity()


def test_heads_are_pinned_and_evicted_like_adapters():
    """A pinned head stays; an unpinned one makes room."""
    heads = HeadPool(CPU, max_bytes=16)
    for name in "ab":
        spec = HeadSpec("classification", None, digest=name)
        heads.acquire(HeadWeights(spec, {"w": torch.ones(2)}))
    third = HeadWeights(HeadSpec("classification", None, digest="c"), {"w": torch.ones(1)})
    with pytest.raises(CapacityError):
        heads.acquire(third)
    heads.release("a")
    assert torch.equal(heads.acquire(third)["w"], torch.ones(1))
    assert ["b", "c"] == [name for name in "abc" if name in heads]
    heads.check_integrity()
