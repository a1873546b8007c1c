"""Live tasks follow their catalog; whoever uses a version keeps it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapter_runtime import Example, RejectedAdapter, UnknownTask
from serving.catalog.plans import Broken
from serving.errors import UnknownVersion, VersionRetired
from serving.lifecycle.live.states import State
from tests.lifecycle.living import Life, file_of, numbered, task_plan, version_plan
from tests.serving.fake_engine import FakeEngine


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


def test_names_that_are_not_there_are_404_with_similar_ones(engine: FakeEngine) -> None:
    """A task, and a version of one."""
    life = Life(engine, numbered("1"))
    with pytest.raises(UnknownTask, match="topic"):
        life.tasks.enter("topik")
    with pytest.raises(UnknownVersion, match="v1"):
        life.tasks.enter("topic", "v7")


def test_an_id_that_was_there_is_410(engine: FakeEngine) -> None:
    """Retired in this process, or by the entry's own word; also where other ids are unknown."""
    life = Life(engine, numbered("1"))
    plan = task_plan(version_plan("2", id=None))
    life.change(replace(plan, retired=("v0",)))
    for id in ("v1", "v0"):
        with pytest.raises(VersionRetired):
            life.tasks.enter("topic", id)


def test_ids_that_are_not_known_yet_are_found_by_reading(engine: FakeEngine) -> None:
    """The newest first, until one has the id or all are read."""
    one, two = version_plan("1", id=None), version_plan("2", id=None)
    life = Life(engine, task_plan(one, two))
    for _ in range(2):
        version, is_ready = life.tasks.enter("topic", "v1")
        assert not is_ready
        life.admit(version)
    version, is_ready = life.tasks.enter("topic", "v1")
    assert is_ready
    assert version.id == "v1"
    with pytest.raises(UnknownVersion):
        life.tasks.enter("topic", "v9")


def test_a_pinned_version_that_was_refused_says_why(engine: FakeEngine) -> None:
    """On its own id, whatever the others do."""
    life = Life(engine, task_plan(version_plan("1"), version_plan("2", folder="broken")))
    life.admit(life.version("v2"))
    with pytest.raises(RejectedAdapter, match="x is missing"):
        life.tasks.enter("topic", "v2")


def test_a_version_is_kept_for_whoever_uses_it(engine: FakeEngine) -> None:
    """Replaced, it is retired after the last one has left, and once."""
    life = Life(engine, numbered("1"))
    life.admit_first()
    version, _ = life.tasks.enter("topic")
    life.change(numbered("2"))
    life.tend()
    life.tend()
    assert life.task().choose(0).id == "v2"
    assert version.state is State.READY
    assert not life.calls("retire")
    life.tasks.leave(version)
    life.tend()
    life.tend()
    assert version.state is State.RETIRED
    assert life.calls("retire") == ["digest-topic-1"]


def test_an_entry_that_did_not_change_changes_nothing(engine: FakeEngine) -> None:
    """The same versions go on, whatever they have become."""
    life = Life(engine, numbered("1", "2"))
    before = life.task().versions
    assert not life.tasks.apply(file_of(numbered("1", "2")))
    assert life.task().versions == before


def test_an_entry_that_is_broken_changes_nothing(engine: FakeEngine) -> None:
    """Its task answers and says what is wrong; put right, it says nothing."""
    life = Life(engine, numbered("1"))
    life.admit_first()
    broken = Broken("topic", "adaptor is no known key.", "e2")
    for _ in range(2):
        life.tasks.apply(file_of(broken=(broken,)))
    assert life.tasks.enter("topic")[1]
    assert life.task().etag == "e2"
    assert life.words() == ["ready", "broken"]
    life.tasks.apply(file_of(numbered("1")))
    assert life.task().broken is None
    assert life.task().etag != "e2"


def test_a_task_that_never_had_a_sound_entry_says_why(engine: FakeEngine) -> None:
    """As any other that cannot answer."""
    life = Life(engine)
    life.tasks.apply(file_of(broken=(Broken("sick", "no such key."),)))
    with pytest.raises(RejectedAdapter, match="no such key"):
        life.tasks.enter("sick")
    assert life.tasks.count_by_state()["rejected"] == 1


def test_other_content_under_an_id_that_serves_is_not_taken(engine: FakeEngine) -> None:
    """An id stands for one thing: the old one serves, with the new weight, and it is said."""
    life = Life(engine, task_plan(version_plan("1", id="one"), version_plan("2", weight=1)))
    old = life.admit(life.version("one"))
    other = version_plan("3", id="one", weight=5)
    life.change(task_plan(other, version_plan("2", weight=1)))
    assert life.version("one") is old
    assert old.plan.weight == 5
    assert "another id" in (old.last_error or "")
    assert life.words() == ["ready", "source_changed"]


def test_examples_that_change_under_a_version_that_serves_are_told_of(engine: FakeEngine) -> None:
    """Nobody tried them yet: whoever looks at the task must not think so; once."""
    life = Life(engine, numbered("1"))
    version = life.admit_first()
    plan = version.plan
    other = replace(plan, spec=replace(plan.spec, examples=(Example("x", {"label": "y"}),)))
    life.change(task_plan(other))
    life.change(replace(task_plan(other), etag="later"))
    assert version.is_ready
    assert "after a restart" in (version.last_error or "")
    assert life.words().count("examples_changed") == 1


def test_an_entry_that_was_wrong_can_be_put_right_under_its_id(engine: FakeEngine) -> None:
    """What never served has no claim to its name."""
    life = Life(engine, task_plan(version_plan("1", id="one", folder="broken")))
    life.admit(life.version("one"))
    life.change(task_plan(version_plan("1", id="one")))
    assert life.admit_first().id == "one"
    with pytest.raises(UnknownVersion):
        life.tasks.enter("topic", "two")


def test_files_that_changed_in_place_make_another_version(engine: FakeEngine) -> None:
    """Two versions of one entry's meaning are told apart by their digests."""
    plan = version_plan("1", id=None)
    life = Life(engine, task_plan(plan))
    first = life.admit_first()
    second = replace(plan, digest="digest-other")
    life.change(task_plan(replace(plan, digest="digest-topic-1"), second))
    assert life.task().versions[0] is first
    assert life.task().versions[1] is not first


def test_a_deleted_task_is_gone_at_once_and_ends_with_its_last_user(engine: FakeEngine) -> None:
    """The same name may come again meanwhile, and is another task."""
    life = Life(engine, numbered("1"))
    life.admit_first()
    version, _ = life.tasks.enter("topic")
    life.tasks.apply_one("topic", None)
    with pytest.raises(UnknownTask):
        life.tasks.enter("topic")
    life.change(numbered("1"))
    again = life.admit_first()
    assert again is not version
    life.tasks.leave(version)
    life.tend()
    assert (version.state, again.state) == (State.RETIRED, State.READY)
    assert engine.uses["digest-topic-1"] == 1


def test_a_version_that_was_retired_on_purpose_answers_no_more(engine: FakeEngine) -> None:
    """Though no other is ready yet; an edit that only leaves it out keeps it until one is."""
    one, two = version_plan("1"), version_plan("2")
    life = Life(engine, task_plan(one, two))
    life.admit_first()
    life.change(replace(task_plan(one), retired=("v2",)))
    assert life.tasks.enter("topic") == (life.version("v1"), False)
    life.tend()
    assert life.calls("retire") == ["digest-topic-2"]


def test_a_version_that_was_never_read_leaves_at_once(engine: FakeEngine) -> None:
    """Nobody falls back on it."""
    life = Life(engine, numbered("1"))
    life.change(numbered("2", folder="broken"))
    life.admit(life.version("v2"))
    with pytest.raises(RejectedAdapter):
        life.tasks.enter("topic")
    assert life.calls("read") == ["topic"]
