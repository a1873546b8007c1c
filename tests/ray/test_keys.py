"""Keys hold at an ingress as at a single server: replicas hear who asks, and see no key."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from deploy.ray_serve.remote import RemoteService
from serving.metrics import PrometheusRecorder
from tests.ray.fake_replicas import FakeReplicas
from tests.tenancy.conftest import Guarded, Keys, Telling


@pytest.fixture
def replica() -> Telling:
    return Telling()


@pytest.fixture
def guarded(tmp_path: Path, replica: Telling) -> Guarded:
    keys = Keys(tmp_path / "keys.yaml")
    keys.add("team", tasks=["top*"], weight=2.0, priority="high")
    return Guarded(keys, RemoteService(FakeReplicas([replica]), PrometheusRecorder()))


def test_replica_hears_who_asks(guarded: Guarded, replica: Telling) -> None:
    """By the key's name; its secret stays at the ingress."""
    assert guarded.predict("team", headers={"x-priority": "high"}).status_code == 200
    (call,) = replica.asked
    assert (call.caller, call.weight, call.priority) == ("team", 2.0, 1)
    assert guarded.keys.secrets["team"].encode() not in pickle.dumps(call)


def test_ingress_refuses_before_it_asks(guarded: Guarded, replica: Telling) -> None:
    """Without a key, for another's task, and for what the key may not do."""
    statuses = [
        guarded.predict("").status_code,
        guarded.predict("team", "new").status_code,
        guarded("DELETE", "/tasks/topic", "team").status_code,
    ]
    assert statuses == [401, 403, 403]
    assert replica.calls == []


def test_ingress_lists_the_key_s_tasks(guarded: Guarded) -> None:
    """And tells no other names, though replicas do."""
    assert [task["name"] for task in guarded("GET", "/tasks", "team").json()["tasks"]] == ["topic"]
    answer = guarded("GET", "/tasks/topics", "team")
    assert answer.status_code == 404
    assert "'topics'" in answer.text
