"""The life cycle of whole tasks over HTTP: shapes, statuses, guards, bad bodies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest

from serving.errors import TaskFileError
from tests.protocols.conftest import Api
from tests.protocols.fake_service import TOPIC

ENTRY = {"adapter": "hf://org/name", "id": "9"}
VERSION_KEYS = {
    "id", "digest", "state", "weight", "share", "shadow", "pinned", "residency", "reasons",
    "last_error", "load_seconds", "in_flight", "adapter", "head", "kind", "labels",
}  # fmt: skip


def test_list_holds_every_task_without_what_changes_with_each_request(api: Api) -> None:
    """Traffic details and events are on the task's own page."""
    listed = api("GET", "/tasks").json()["tasks"]
    assert [task["name"] for task in listed] == ["topic", "new"]
    assert "events" not in listed[0]
    assert all("traffic" not in version for task in listed for version in task["versions"])


def test_task_says_everything_that_is_known_of_it(api: Api) -> None:
    """Facts of the task, of its versions and of their traffic, and the ETag."""
    response = api("GET", "/tasks/topic")
    found = response.json()
    assert response.headers["etag"] == '"e0"'
    assert (found["name"], found["state"], found["etag"], found["writable"]) == (
        "topic",
        "ready",
        "e0",
        True,
    )
    assert found["retired"] == ["0"]
    assert found["events"] == [
        {"at": 1700000000.0, "what": "ready", "version": "1", "reason": None}
    ]
    first, sick = found["versions"]
    assert set(first) >= VERSION_KEYS
    assert first["traffic"] == {
        "requests": 4,
        "errors": 1,
        "error_rate": 0.25,
        "latency_ms": {"p50": 10.0, "p95": 50.2},
        "compared": 2,
        "disagreed": 1,
        "disagreement": 0.5,
    }
    assert [reason["code"] for reason in sick["reasons"]] == ["missing_tensor", "not_finite"]
    assert sick["traffic"]["error_rate"] is None


def test_put_makes_a_task(api: Api) -> None:
    """201 with its address, its body and its ETag."""
    response = api("PUT", "/tasks/fresh", json=ENTRY)
    assert response.status_code == 201
    assert response.headers["location"] == "/tasks/fresh"
    assert response.headers["etag"] == f'"{response.json()["etag"]}"'
    assert response.json()["versions"][0]["state"] == "pending"
    assert api.service.calls == [("put", "fresh", ENTRY, None)]


def test_surprise_is_answered_in_our_own_shape(api: Api) -> None:
    """Whoever reads codes reads one, and the log has the rest under the request's id."""
    api.service.raises = RuntimeError("secret")
    response = api("PUT", "/tasks/topic", json=ENTRY, headers={"x-request-id": "r-1"})
    assert response.status_code == 500
    assert (response.json()["code"], response.json()["request_id"]) == ("internal_error", "r-1")
    assert "secret" not in response.text


def test_put_that_is_deleted_at_once_is_a_conflict(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not 404: what is put need not be there before."""

    async def put(name: str, entry: Any, expected: str | None = None) -> bool:
        return True

    monkeypatch.setattr(api.service, "put", put)
    response = api("PUT", "/tasks/fresh", json=ENTRY)
    assert (response.status_code, response.json()["code"]) == (409, "version_conflict")


def test_put_gives_a_task_a_new_version(api: Api) -> None:
    """200, and no address."""
    response = api("PUT", "/tasks/topic", json={"name": "topic", **ENTRY})
    assert (response.status_code, response.headers.get("location")) == (200, None)
    assert api.service.calls == [("put", "topic", ENTRY, None)]


GUARDS: tuple[tuple[str, dict[str, str], int], ...] = (
    ("topic", {"if-match": '"e0"'}, 200),
    ("topic", {"if-match": 'W/"e0"'}, 200),
    ("topic", {"if-match": "e0"}, 200),
    ("topic", {"if-match": '"e7", "e0"'}, 200),
    ("topic", {"if-match": "*"}, 200),
    ("topic", {"if-match": '"e7"'}, 409),
    ("fresh", {"if-match": "*"}, 409),
    ("fresh", {"if-match": '"e0"'}, 409),
    ("topic", {"if-none-match": "*"}, 409),
    ("fresh", {"if-none-match": "*"}, 201),
    ("topic", {"if-none-match": '"e0"'}, 422),
    ("topic", {"if-none-match": "*", "if-match": "*"}, 422),
    ("topic", {"if-match": " "}, 422),
    ("topic", {"if-match": '""'}, 422),
)


@pytest.mark.parametrize(("name", "headers", "status"), GUARDS)
def test_guards_hold_a_change_back(
    api: Api, name: str, headers: dict[str, str], status: int
) -> None:
    """A change is made only to what the client has seen."""
    response = api("PUT", f"/tasks/{name}", json=ENTRY, headers=headers)
    assert response.status_code == status, response.text
    assert bool(api.service.calls) == (status < 300)
    if status == 409:
        assert response.json()["code"] == "version_conflict"


def test_deleted_task_is_gone(api: Api) -> None:
    """204 without a body, then 404."""
    deleted = api("DELETE", "/tasks/topic", headers={"if-match": '"e0"'})
    assert (deleted.status_code, deleted.content) == (204, b"")
    for method in ("GET", "DELETE"):
        response = api(method, "/tasks/topic")
        assert (response.status_code, response.json()["code"]) == (404, "unknown_task")


CHANGES = (
    ("PUT", "/tasks/topic"),
    ("DELETE", "/tasks/topic"),
    ("DELETE", "/tasks/topic/versions/1"),
    ("POST", "/tasks/topic/versions/1:promote"),
    ("POST", "/tasks/topic/traffic"),
)


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_read_only_catalog_is_409(api: Api, method: str, path: str) -> None:
    """And says what to do."""
    api.service.is_writable = False
    response = api(method, path, json={"weights": None} if "traffic" in path else ENTRY)
    assert (response.status_code, response.json()["code"]) == (409, "catalog_read_only")


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_stopping_server_changes_nothing(api: Api, method: str, path: str) -> None:
    """503 with Retry-After; another server takes it."""
    api.service.is_draining = True
    response = api(method, path, json=ENTRY)
    assert (response.status_code, response.json()["code"]) == (503, "draining")
    assert "retry-after" in response.headers
    assert api.service.calls == []


def test_catalog_that_cannot_be_written_is_500_with_its_reason(api: Api) -> None:
    """A full disk is the operator's to know of."""
    api.service.raises = TaskFileError("topic.yaml cannot be written: no space left on device.")
    response = api("PUT", "/tasks/topic", json=ENTRY)
    assert (response.status_code, response.json()["code"]) == (500, "bad_task_file")
    assert "no space left" in response.json()["error"]


TRAFFIC: tuple[tuple[dict[str, Any], Any], ...] = (
    ({"weights": {"1": 90, "2": 10.5}, "shadow": []}, ({"1": 90.0, "2": 10.5}, (), None)),
    ({"weights": {"1": 1}, "shadow": ["2"]}, ({"1": 1.0}, ("2",), None)),
    ({"weights": None, "shadow": []}, (None, (), None)),
    ({"shadow": ["1"]}, ({"1": 3.0}, ("1",), "e0")),
    ({"weights": {"1": 1}}, ({"1": 1.0}, ("2",), "e0")),
    ({"weights": {"2": 1}}, ({"2": 1.0}, (), "e0")),
)


@pytest.mark.parametrize(("body", "expected"), TRAFFIC)
def test_traffic_is_shared_out(api: Api, body: dict[str, Any], expected: Any) -> None:
    """What the body leaves out stays as it was; a shadow that gets weight answers."""
    first, second = TOPIC.versions
    versions = (replace(first, weight=3.0), replace(second, shadow=True))
    api.service.views["topic"] = replace(TOPIC, versions=versions)
    response = api("POST", "/tasks/topic/traffic", json=body)
    assert response.status_code == 200, response.text
    assert api.service.calls == [("traffic", "topic", *expected)]
    assert response.headers["etag"] == '"e1"'


@pytest.mark.parametrize(
    ("method", "path", "status"),
    (
        ("POST", "/tasks/topic", 405),
        ("GET", "/tasks/topic/traffic", 405),
        ("POST", "/tasks/topic/versions/1", 405),
        ("GET", "/tasks/topic/versions/1:promote", 405),
        ("DELETE", "/tasks", 405),
        ("POST", "/tasks/none/traffic", 404),
        ("GET", "/tasks/none", 404),
        ("GET", "/tasks/", 404),
        ("PUT", "/tasks/a%2Fb", 404),
    ),
)
def test_wrong_route_or_method_has_our_shape(api: Api, method: str, path: str, status: int) -> None:
    """Each with a code and a request id."""
    response = api(method, path, json={"weights": None})
    assert response.status_code == status
    assert {"error", "code", "request_id"} <= set(response.json())
    assert ("allow" in response.headers) == (status == 405)


def test_two_writers_with_one_etag_do_not_both_win(api: Api) -> None:
    """The second is told to read again."""

    async def use(client: httpx.AsyncClient) -> list[int]:
        guard = {"if-match": '"e0"'}
        puts = [await client.put("/tasks/topic", json=ENTRY, headers=guard) for _ in range(2)]
        return [response.status_code for response in puts]

    assert api.run(use) == [200, 409]
