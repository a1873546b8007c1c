"""A version that fails by itself answers nobody before it was checked again."""

from __future__ import annotations

import pytest

from adapter_runtime import RejectedAdapter, SourceError, VersionFailed
from serving.errors import Quarantined
from serving.lifecycle.live.states import State
from serving.lifecycle.live.version import Version
from tests.lifecycle.living import Life, numbered
from tests.serving.fake_engine import FakeEngine

ERROR = VersionFailed("It gives no finite numbers.")


@pytest.fixture
def life() -> Life:
    return Life(FakeEngine(), numbered("1"))


def fail(life: Life, version: Version) -> bool:
    """The version's rows fail by its own fault."""
    return life.admitter.outcomes.is_guilty(version, ERROR)


def test_the_guilty_version_is_out_at_once(life: Life) -> None:
    """With its reason, and once however many rows fail."""
    version = life.admit_first()
    assert fail(life, version)
    assert not fail(life, version)
    assert version.state is State.QUARANTINED
    assert version.reasons[0].message == version.last_error == str(ERROR)
    with pytest.raises(Quarantined, match="no finite numbers") as caught:
        life.tasks.enter("topic")
    assert caught.value.retry_after_s == 30
    assert life.words() == ["ready", "quarantined"]


def test_an_older_version_takes_over(life: Life) -> None:
    """It is admitted first where it was not; the guilty one is 503 on its own id."""
    life.change(numbered("1", "2"))
    fail(life, life.admit_first())
    assert life.admit_first().id == "v1"
    with pytest.raises(Quarantined):
        life.tasks.enter("topic", "v2")


def test_it_comes_back_after_a_check(life: Life) -> None:
    """Probe and examples run again, whatever is remembered; then it serves."""
    version = life.admit_first()
    fail(life, version)
    life.tend()
    assert version.state is State.QUARANTINED
    life.clock.now_s += 30
    life.tend()
    assert version.is_ready
    assert not version.reasons
    assert life.calls("check") == ["topic", "topic"]
    assert life.calls("read") == ["topic"]
    assert not life.calls("retire")


def test_each_time_takes_twice_as_long(life: Life) -> None:
    """Up to an hour; also when the check itself fails, of which nothing is remembered."""
    version = life.admit_first()
    fail(life, version)
    life.engine.guilty.add("digest-topic-1")
    waits_s = []
    for _ in range(9):
        assert version.retry_at_s is not None
        waits_s.append(version.retry_at_s - life.clock.now_s)
        life.clock.now_s = version.retry_at_s
        life.tend()
    assert waits_s == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert list(life.verdicts.values()) == [()]
    assert version.prepared is not None
    assert not life.calls("retire")


def test_after_a_while_of_answers_it_is_forgiven(life: Life) -> None:
    """Then the next quarantine is short again."""
    version = life.admit_first()
    for forgiven in (False, True):
        fail(life, version)
        assert version.retry_at_s is not None
        assert version.retry_at_s - life.clock.now_s == 30
        life.clock.now_s = version.retry_at_s
        life.tend()
        life.admitter.outcomes.answered(version)
        assert version.num_quarantines == 1
        life.clock.now_s += 30
        life.admitter.outcomes.answered(version)
        assert version.num_quarantines == 0, forgiven


def test_weights_that_cannot_be_had_any_more_let_others_answer(life: Life) -> None:
    """A checkpoint that was corrupted after its admission: the reason is said, and tried again."""
    life.change(numbered("1", "2"))
    version = life.admit_first()
    lost = SourceError("Its files are gone.")
    life.admitter.outcomes.lost_weights(version, lost)
    assert (version.state, version.last_error) == (State.REJECTED, str(lost))
    assert life.admit_first().id == "v1"
    with pytest.raises(RejectedAdapter, match="files are gone"):
        life.tasks.enter("topic", "v2")
    life.clock.now_s += 5
    life.tend()
    assert version.is_ready
    assert life.calls("read") == ["topic", "topic"]
