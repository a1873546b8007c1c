"""The life cycle of single versions over HTTP."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import pytest

from serving.errors import Quarantined, StillLoading
from serving.service import ACTIONS
from tests.protocols.conftest import Api
from tests.protocols.fake_service import TOPIC

PATH = "/tasks/topic/versions"


def test_version_has_a_page(api: Api) -> None:
    """With what it answered."""
    found = api("GET", f"{PATH}/1").json()
    assert (found["id"], found["state"], found["traffic"]["requests"]) == ("1", "ready", 4)


@pytest.mark.parametrize("path", (f"{PATH}/2", "/models/topic?version=2"))
def test_rejected_version_answers_424_on_its_own_page(api: Api, path: str) -> None:
    """Every reason with its code, beside what is known of it."""
    response = api("GET", path)
    body = response.json()
    assert (response.status_code, body["code"]) == (424, "rejected_adapter")
    assert body["reasons"] == [
        {"code": "missing_tensor", "message": "x is missing."},
        {"code": "not_finite", "message": "y holds NaN."},
    ]
    assert "x is missing." in body["error"]
    assert body["state"] == "rejected"


@pytest.mark.parametrize(
    ("id", "status", "code"), (("7", 404, "unknown_version"), ("0", 410, "version_retired"))
)
def test_absent_version_is_404_and_retired_one_410(
    api: Api, id: str, status: int, code: str
) -> None:
    """On every route that names it."""
    for method, path in (
        ("GET", f"{PATH}/{id}"),
        ("DELETE", f"{PATH}/{id}"),
        ("POST", f"{PATH}/{id}:promote"),
        ("POST", f"{PATH}/{id}:preload?wait=false"),
        ("GET", f"/models/topic?version={id}"),
        ("GET", f"/models/topic/health?version={id}"),
    ):
        response = api(method, path)
        assert (response.status_code, response.json()["code"]) == (status, code), path


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("colon", (":", "%3A"))
def test_every_action_is_done(api: Api, action: str, colon: str) -> None:
    """The answer is the task; the guard is handed on."""
    response = api("POST", f"{PATH}/1{colon}{action}", headers={"if-match": '"e0"'})
    assert response.status_code == 200, response.text
    assert response.json()["name"] == "topic"
    assert api.service.calls == [(action, "topic", "1", "e0")]


def test_unknown_action_is_404_with_the_known_ones(api: Api) -> None:
    """What to write instead."""
    response = api("POST", f"{PATH}/1:upgrade")
    assert response.status_code == 404
    assert all(action in response.json()["error"] for action in ACTIONS)


def test_version_is_retired(api: Api) -> None:
    """204, then 410."""
    assert api("DELETE", f"{PATH}/1").status_code == 204
    assert api.service.calls == [("delete", "topic", "1", None)]
    assert api("GET", f"{PATH}/1").status_code == 410


@pytest.mark.parametrize("action", ("preload", "promote"))
def test_rejected_version_cannot_be_used(api: Api, action: str) -> None:
    """424 with the reasons."""
    response = api("POST", f"{PATH}/2:{action}")
    assert response.status_code == 424
    assert response.json()["reasons"][0]["code"] == "missing_tensor"


def test_preload_answers_at_once_where_nobody_waits(api: Api) -> None:
    """202, and the load goes on."""

    async def use(client: httpx.AsyncClient) -> httpx.Response:
        api.service.gate = asyncio.Event()
        response = await client.post(f"{PATH}/1:preload?wait=false")
        api.service.gate.set()
        return response

    response = api.run(use)
    assert (response.status_code, response.json()["name"]) == (202, "topic")


def test_preload_of_a_rejected_version_answers_202_too_where_nobody_waits(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    """How it ends is on the version's page, and in the log where it took long."""

    async def use(client: httpx.AsyncClient) -> list[int]:
        first = await client.post(f"{PATH}/2:preload?wait=false")
        api.service.gate = asyncio.Event()
        second = await client.post(f"{PATH}/2:preload?wait=false")
        api.service.gate.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return [first.status_code, second.status_code]

    assert api.run(use) == [202, 202]
    assert "preload of topic 2, which nobody waited for, failed" in caplog.text


def test_preload_outlives_the_patience_of_its_client(api: Api) -> None:
    """504, and the load goes on."""

    async def use(client: httpx.AsyncClient) -> httpx.Response:
        api.service.gate = asyncio.Event()
        response = await client.post(f"{PATH}/1:preload", headers={"x-deadline-ms": "20"})
        api.service.gate.set()
        return response

    response = api.run(use)
    assert (response.status_code, response.json()["code"]) == (504, "deadline_exceeded")


def test_wait_that_is_neither_true_nor_false_is_422(api: Api) -> None:
    """It is named."""
    response = api("POST", f"{PATH}/1:preload?wait=maybe")
    assert (response.status_code, response.json()["error"][:5]) == (422, "wait:")


def test_preload_and_evict_work_on_a_read_only_catalog(api: Api) -> None:
    """They change nothing in it."""
    api.service.is_writable = False
    assert api("POST", f"{PATH}/1:preload").status_code == 200
    assert api("POST", f"{PATH}/1:evict").status_code == 200
    assert api("POST", f"{PATH}/1:pin").status_code == 409


@pytest.mark.parametrize(("query", "version"), (("", None), ("?version=2", "2"), ("?x=1", None)))
def test_request_may_name_its_version(api: Api, query: str, version: str | None) -> None:
    """It reaches the service, and the answer's header says who answered."""
    response = api("POST", f"/models/topic{query}", json={"inputs": "a"})
    assert response.headers["x-task-version"] == (version or "1")
    assert api.service.calls == [("answer", "topic", version)]


@pytest.mark.parametrize("query", ("?version=", "?version=1&version=2"))
@pytest.mark.parametrize("method", ("GET", "POST"))
def test_version_that_names_none_is_422(api: Api, method: str, query: str) -> None:
    """Rather than another version's answer."""
    response = api(method, f"/models/topic{query}", json={"inputs": "a"})
    assert (response.status_code, response.json()["error"][:8]) == (422, "version:")


def test_task_is_described_as_a_version_would_serve_it(api: Api) -> None:
    """Its kind and labels, beside the whole task."""
    found = api("GET", "/models/topic?version=1").json()
    assert (found["version"], found["labels"], len(found["versions"])) == ("1", ["no", "yes"], 2)


@pytest.mark.parametrize(
    ("state", "status"),
    (
        ("ready", 200),
        ("pending", 200),
        ("loading", 200),
        ("checking", 200),
        ("rejected", 503),
        ("quarantined", 503),
    ),
)
def test_health_of_a_task_follows_its_state(api: Api, state: str, status: int) -> None:
    """What is still to be loaded will answer."""
    api.service.views["topic"] = replace(TOPIC, state=state)
    response = api("GET", "/models/topic/health")
    assert (response.status_code, response.json()["state"]) == (status, state)


def test_health_of_a_version_says_why_it_does_not_answer(api: Api) -> None:
    """In the doctor's words."""
    response = api("GET", "/models/topic/health?version=2")
    assert response.status_code == 503
    assert response.json()["reason"] == "x is missing. y holds NaN."


@pytest.mark.parametrize("error", (StillLoading("It loads.", 2.5), Quarantined("It fails.", 31.0)))
def test_what_comes_later_says_when(api: Api, error: StillLoading) -> None:
    """Retry-After in whole seconds, and the estimate itself."""
    api.service.raises = error
    response = api("POST", "/models/topic", json={"inputs": "a"})
    assert (response.status_code, response.json()["code"]) == (503, error.code)
    assert int(response.headers["retry-after"]) >= error.retry_after_s
    assert response.json()["estimated_time"] == error.retry_after_s


def test_warming_server_is_not_ready_yet(api: Api) -> None:
    """It answers; but others should be asked first."""
    api.service.is_warm = False
    response = api("GET", "/health/ready")
    assert (response.status_code, response.json()) == (503, {"status": "warming"})
    assert api("POST", "/models/topic", json={"inputs": "a"}).status_code == 200
