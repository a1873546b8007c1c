"""What versions need when nobody asks: a pin, a place beside who serves, an end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapter_runtime import (
    Note,
    RejectedAdapter,
    TaskSpec,
    TaskVersion,
)
from serving.lifecycle.live.states import State
from tests.lifecycle.living import Life, numbered, task_plan, version_plan
from tests.serving.fake_engine import FakeEngine


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


def test_a_pinned_version_is_pinned_before_it_serves(engine: FakeEngine) -> None:
    """And let go when the entry says so."""
    life = Life(engine, numbered("1", pinned=True))
    life.admit_first()
    assert life.calls("pin") == ["digest-topic-1"]
    life.change(numbered("1"))
    life.tend()
    assert life.calls("unpin") == ["digest-topic-1"]


def test_a_pin_without_room_leaves_the_version_serving(engine: FakeEngine) -> None:
    """It is said on its page, and not tried without end."""

    class Full(FakeEngine):
        def pin(self, version: object) -> None:
            super().pin(version)  # type: ignore[arg-type]
            raise RejectedAdapter("topic", [Note("no_room_beside_pins", "No room.")])

    engine = Full()
    life = Life(engine, numbered("1"))
    version = life.admit_first()
    life.change(numbered("1", pinned=True))
    life.tend()
    life.tend()
    assert version.is_ready
    assert version.last_error == "No room."
    assert len(life.calls("pin")) == 1


def test_a_superseded_version_leaves_the_device_once(engine: FakeEngine) -> None:
    """When nobody uses it; it stays for a rollback, and may be warmed again."""
    life = Life(engine, numbered("1"))
    life.admit_first()
    life.tend()
    old, _ = life.tasks.enter("topic")
    life.change(numbered("1", "2"))
    life.tend()
    life.tend()
    assert not life.calls("evict")
    life.tasks.leave(old)
    life.tend()
    life.tend()
    assert life.calls("evict") == ["digest-topic-1"]
    assert old.is_ready
    assert not life.calls("retire")


def test_shadows_and_canaries_are_admitted_beside_who_serves(engine: FakeEngine) -> None:
    """Nobody has to ask for them; versions of no weight wait until somebody does."""
    plans = (
        version_plan("1", weight=90),
        version_plan("2", weight=10),
        version_plan("3", shadow=True),
        version_plan("4"),
    )
    life = Life(engine, task_plan(*plans))
    life.tend()
    assert not life.calls("read")
    assert life.admit_first().id == "v1"
    life.tend()
    states = [version.state for version in life.task().versions]
    assert states == [State.READY, State.READY, State.READY, State.PENDING]


def test_weights_that_others_share_stay_where_they_are() -> None:
    """A superseded version takes nothing from the one that took over."""

    class Sharing(FakeEngine):
        def prepare(self, spec: TaskSpec) -> TaskVersion:
            version = super().prepare(spec)
            return replace(version, head=replace(version.head, digest="one for all"))

    engine = Sharing()
    life = Life(engine, numbered("1"))
    life.admit_first()
    life.tend()
    life.change(numbered("1", "2"))
    life.tend()
    life.tend()
    assert life.version("v2").is_ready
    assert not life.calls("evict")
