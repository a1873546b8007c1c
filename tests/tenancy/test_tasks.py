"""A key sees and changes the tasks that its patterns cover, and hears of no others."""

from __future__ import annotations

import pytest

from adapter_runtime import UnknownTask
from serving.guarded_service import GuardedService
from serving.recent import Batch
from serving.service import Service
from serving.task_labels import OTHER, UNKNOWN
from tests.tenancy.conftest import Guarded

INFER = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}
FORBIDDEN = (
    ("POST", "/models/topic", {"inputs": "a"}),
    ("GET", "/models/topic", None),
    ("GET", "/models/topic/info", None),
    ("GET", "/models/topic/health", None),
    ("GET", "/tasks/topic", None),
    ("GET", "/tasks/topic/versions/1", None),
    ("PUT", "/tasks/topic", {"adapter": "./x"}),
    ("DELETE", "/tasks/topic", None),
    ("DELETE", "/tasks/topic/versions/1", None),
    ("POST", "/tasks/topic/versions/1:promote", None),
    ("POST", "/tasks/topic/versions/1:preload?wait=false", None),
    ("POST", "/tasks/topic/traffic", {"weights": {"1": 1}}),
    ("GET", "/v1/models/topic", None),
    ("POST", "/v1/embeddings", {"model": "topic", "input": "a"}),
    ("GET", "/v2/models/topic", None),
    ("GET", "/v2/models/topic/ready", None),
    ("POST", "/v2/models/topic/infer", INFER),
    ("POST", "/v2/models/topic/versions/1/infer", INFER),
    ("POST", "/v2/repository/models/topic/load", None),
    ("POST", "/v2/repository/models/topic/unload", None),
)


@pytest.mark.parametrize(("method", "path", "body"), FORBIDDEN)
def test_forbidden_task_is_as_one_that_is_not(
    guarded: Guarded, method: str, path: str, body: object
) -> None:
    """403 for both, with the same words; nothing is asked or changed."""
    there = guarded(method, path, "new", json=body)
    absent = guarded(method, path.replace("topic", "never"), "new", json=_renamed(body))
    assert (there.status_code, absent.status_code) == (403, 403)
    assert _plain(there.text, "topic") == _plain(absent.text, "never")
    assert guarded.service.calls == []


def _renamed(body: object) -> object:
    return body | {"model": "never"} if isinstance(body, dict) and "model" in body else body


def _plain(text: str, name: str) -> str:
    return text.replace(name, "NAME").partition('"request_id"')[0]


@pytest.mark.parametrize("path", ("/tasks", "/v1/models", "/v2/models", "/info", "/metrics"))
def test_lists_leave_out_what_the_key_may_not_name(guarded: Guarded, path: str) -> None:
    """Each of them, while a key for all tasks sees all."""
    guarded.predict("all", "topic")
    full, limited = (guarded("GET", path, key).text for key in ("all", "new"))
    assert "topic" not in limited
    assert path == "/info" or "topic" in full
    assert path != "/info" or '"num_tasks":1' in limited


def test_similar_names_are_those_the_key_may_see(guarded: Guarded) -> None:
    """A mistake is no way to learn of others' tasks."""

    async def task(name: str) -> object:
        raise UnknownTask(name, ("news", "topic"))

    guarded.service.task = task  # type: ignore[method-assign, assignment]
    answer = guarded("GET", "/tasks/new-x", "new").json()
    assert "news" in answer["error"]
    assert "topic" not in answer["error"]


def test_analyze_says_which_tasks_are_forbidden(guarded: Guarded) -> None:
    """Each by itself: the others are answered."""
    body = {"inputs": "a", "tasks": ["new", "topic"]}
    answer = guarded("POST", "/v1/analyze", "new", json=body)
    assert [call.task for call in guarded.service.asked] == ["new"]
    assert '"forbidden"' in answer.text


def test_batches_name_the_key_s_tasks_only(guarded: Guarded) -> None:
    """Numbers stay as they are."""
    batch = Batch("b", 0, 0, 0, 0, 2, 9, 2, 1, 0, ("topic", "new"), "lane")

    async def batches(last: int) -> list[Batch]:
        return [batch]

    guarded.service.batches = batches  # type: ignore[method-assign]
    (shown,) = guarded("GET", "/debug/batches", "new").json()["batches"]
    assert (shown["tasks"], shown["num_tasks"]) == (["new"], 2)


def test_usage_is_the_key_s_own(guarded: Guarded) -> None:
    """Who may see metrics sees every key, with the tasks that they may name."""
    for key, task in (("all", "topic"), ("all", "new"), ("predict", "topic")):
        guarded.predict(key, task)
    guarded.predict("new", "topic")
    used = {"requests": 1, "refused": 0, "tokens": 7}
    refused = {"requests": 1, "refused": 1, "tokens": 0}
    seen = {key: guarded("GET", "/usage", key).json()["keys"] for key in ("predict", "new", "all")}
    assert seen["predict"] == [{"name": "predict", "tasks": {"topic": used}}]
    assert seen["new"][0] == {"name": "all", "tasks": {"new": used}}
    assert seen["new"][1] == {"name": "new", "tasks": {UNKNOWN: refused}}
    assert seen["all"][0]["tasks"] == {"topic": used, "new": used}


def test_metrics_say_who_used_what(guarded: Guarded) -> None:
    """Requests and tokens, with the task first."""
    guarded.predict("predict")
    guarded.predict("new", "topic")
    shown = guarded("GET", "/metrics", "all").text
    assert 'polyhead_key_requests_total{key="predict",result="ok",task="topic"} 1.0' in shown
    assert 'polyhead_key_tokens_total{key="predict",task="topic"} 7.0' in shown
    assert 'polyhead_key_requests_total{key="new",result="refused",task="-"} 1.0' in shown
    assert OTHER not in shown


def test_made_up_tasks_are_no_labels(guarded: Guarded) -> None:
    """Names come from answers, never from clients."""
    guarded.service.raises = UnknownTask("zzz")
    guarded.predict("all", "zzz")
    assert "zzz" not in guarded("GET", "/metrics", "all").text


def test_every_member_of_a_service_is_guarded() -> None:
    """What comes to the Service later is thought about before it is open."""
    members = {name for name in vars(Service) if not name.startswith("_")}
    named = set(vars(GuardedService)) | {"life_cycle"}
    assert members - named == set()
    assert not hasattr(GuardedService, "__getattr__")
