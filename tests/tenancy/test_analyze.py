"""Each task of an analyze is held against the key by itself."""

from __future__ import annotations

from tests.tenancy.conftest import Guarded, Keys

BODY = {"inputs": "a", "tasks": ["new", "topic", "never"]}
PATH = "/v1/analyze"


def test_only_the_keys_own_tasks_are_answered(guarded: Guarded) -> None:
    """The others are refused alike, be they there or not, and are never asked."""
    found = guarded("POST", PATH, "new", json=BODY)
    assert found.status_code == 200
    results = found.json()["results"]
    assert results["new"]["outputs"]
    assert [results[task]["status"] for task in ("topic", "never")] == [403, 403]
    said = [results[task]["error"].replace(task, "NAME") for task in ("topic", "never")]
    assert said[0] == said[1]
    assert [(call.task, call.caller) for call in guarded.service.asked] == [("new", "new")]


def test_without_a_key_that_may_predict_nobody_is_asked(guarded: Guarded) -> None:
    """The route itself is closed."""
    assert guarded("POST", PATH, json=BODY).status_code == 401
    assert guarded("POST", PATH, "metrics", json=BODY).status_code == 403
    assert guarded.service.asked == []


def test_every_task_counts_for_the_quota(keys: Keys) -> None:
    """As many requests as tasks; what is above the quota is refused by itself."""
    keys.add("few", actions=["predict"], quota={"requests_per_minute": 2})
    guarded = Guarded(keys)
    results = guarded("POST", PATH, "few", json=BODY | {"tasks": ["new", "topic", "other"]}).json()
    statuses = [each.get("status", 200) for each in results["results"].values()]
    assert statuses == [200, 200, 429]
