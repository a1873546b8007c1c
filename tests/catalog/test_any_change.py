"""Whatever is done to a task in whatever order, its entry keeps its promises."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from adapter_runtime import PolyheadError
from serving.catalog.changes import replace_task, retire, set_pinned
from serving.catalog.shares import promote, rollback, set_traffic
from serving.catalog.store import Entry
from serving.catalog.text import dump, parse
from tests.catalog.making import added, known, plan, put

ADAPTERS = tuple(f"./{letter}" for letter in "abcd")
IDS = st.sampled_from(["1", "2", "3", *(letter * 12 for letter in "abcd")])
WEIGHTS = st.sampled_from([0, 0.5, 10, 100])
FOUND = known(*(({"adapter": adapter}, adapter[-1]) for adapter in ADAPTERS))


def having(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Bodies with some of these keys."""
    return st.fixed_dictionaries({}, optional=values)


MEANINGS = having(
    adapter=st.sampled_from(ADAPTERS),
    labels=st.sampled_from([["x"], ["x", "y"], None]),
    limits=st.sampled_from([{}, {"max_tokens": 8}]),
    options=st.sampled_from([{}, {"normalize": True}]),
    pinned=st.booleans(),
)
STATED = having(id=IDS, weight=WEIGHTS, shadow=st.booleans(), rollback=st.just({"error_rate": 0.1}))
VERSIONS = st.lists(
    st.tuples(MEANINGS, having(id=IDS, weight=WEIGHTS, shadow=st.booleans())).map(
        lambda parts: {**parts[0], **parts[1]}
    ),
    min_size=1,
    max_size=3,
)
STEPS = st.one_of(
    st.tuples(st.just("add"), MEANINGS, STATED, st.lists(IDS, max_size=3)),
    st.tuples(st.just("replace"), MEANINGS, VERSIONS),
    st.tuples(st.just("promote"), IDS),
    st.tuples(st.just("rollback"), IDS, st.sampled_from([None, "bad"])),
    st.tuples(
        st.just("traffic"), st.none() | st.dictionaries(IDS, WEIGHTS), st.lists(IDS, max_size=1)
    ),
    st.tuples(st.just("pin"), IDS, st.booleans()),
    st.tuples(st.just("retire"), IDS),
)


def step(entry: Entry | None, what: str, *given: Any) -> Entry:
    """One change."""
    match what:
        case "add":
            body = {**given[0], **given[1]}
            return added(entry, body, FOUND, keep=2, droppable=given[2])
        case "replace":
            whole = {key: given[0][key] for key in given[0] if key != "adapter"}
            return replace_task(entry, put(**whole, versions=given[1]), FOUND)
        case "promote":
            return promote(entry, given[0], FOUND)
        case "rollback":
            return rollback(entry, given[0], FOUND, given[1])
        case "traffic":
            return set_traffic(entry, given[0], given[1], FOUND)
        case "pin":
            return set_pinned(entry, given[0], given[1], FOUND)
        case _:
            return retire(entry, given[0], FOUND)


def meanings(entry: Entry | None) -> dict[str, str]:
    """What each id stands for."""
    versions = plan(entry).versions if entry else ()
    return {each.id: each.key for each in versions if each.id}


@given(steps=st.lists(STEPS, max_size=12))
def test_entry_keeps_its_promises(steps: list[Any]) -> None:
    """It can be read and written; an id never changes its meaning; who goes is remembered."""
    entry: Entry | None = None
    for each in steps:
        before = deepcopy(entry)
        try:
            made = step(entry, *each)
        except PolyheadError:
            assert entry == before
            continue
        assert entry == before
        now = plan(made)
        assert parse(dump(made), "t.yaml") == made
        had, has = meanings(entry), meanings(made)
        assert all(has[id] == had[id] for id in had.keys() & has.keys())
        assert had.keys() - has.keys() <= {*now.retired}
        assert has.keys().isdisjoint(now.retired)
        assert {*(now.previous_weights or {})} <= has.keys()
        assert not now.has_weights or any(version.weight for version in now.versions)
        entry = made
