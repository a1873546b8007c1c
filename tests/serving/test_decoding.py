"""On which threads answers are decoded."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from adapter_runtime import Arrays, Encoded, TaskVersion
from serving.settings import load_settings
from tests.serving.conftest import Server
from tests.serving.fake_engine import FakeEngine


@dataclass
class Noting(FakeEngine):
    """Notes the thread of each encode and decode."""

    encoded_on: list[str] = field(default_factory=list)
    decoded_on: list[str] = field(default_factory=list)

    def encode(self, *given: Any) -> Encoded:
        """As the fake does."""
        self.encoded_on.append(threading.current_thread().name)
        return super().encode(*given)

    def decode(self, version: TaskVersion, encoded: Encoded, outcomes: Sequence[Arrays]) -> Any:
        """As the fake does."""
        self.decoded_on.append(threading.current_thread().name)
        return super().decode(version, encoded, outcomes)


def _rooms_of(inputs: object) -> tuple[set[str], set[str]]:
    """The kinds of threads that encode and decode a request."""
    engine = Noting()
    response = Server(engine, load_settings()).post("/models/topic", json={"inputs": inputs})
    assert response.status_code == 200
    return _kinds(engine.encoded_on), _kinds(engine.decoded_on)


def _kinds(threads: Sequence[str]) -> set[str]:
    return {name.rpartition("-")[0] for name in threads}


def test_a_lone_answer_at_rest_wakes_no_worker() -> None:
    """It is decoded on the lane that ran it; text is never encoded on the event loop."""
    assert _rooms_of("one two") == ({"encode"}, {"compute"})


def test_answers_of_a_batch_are_decoded_beside_the_lanes() -> None:
    """The device is free for the next batch meanwhile."""
    assert _rooms_of(["one", "two"]) == ({"encode"}, {"encode"})
