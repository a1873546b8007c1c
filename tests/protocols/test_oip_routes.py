"""The Open Inference Protocol's routes: statuses, shapes, what reaches the service."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest

from serving.app import create_app
from serving.errors import (
    DeviceFailed,
    Draining,
    Overloaded,
    Quarantined,
    StillLoading,
    UnknownVersion,
)
from serving.metrics import PrometheusRecorder
from serving.service import Answer, Call
from serving.settings import load_settings
from tests.protocols.conftest import Api
from tests.protocols.fake_service import REASONS, TOPIC, FakeService

TEXT = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}
INFER = "/v2/models/topic/infer"


def infer(api: Api, path: str = INFER, headers: Any = None, **body: Any) -> httpx.Response:
    """One request for one text."""
    return api("POST", path, json={"inputs": [TEXT], **body}, headers=headers)


@pytest.fixture
def heard(api: Api, monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """The Calls that reach the service."""
    calls: list[Call] = []
    answer = api.service.answer

    async def listen(call: Call) -> Answer:
        calls.append(call)
        return await answer(call)

    monkeypatch.setattr(api.service, "answer", listen)
    return calls


def test_the_server_says_what_it_is(api: Api) -> None:
    """Name, release, and only extensions that it has."""
    found = api("GET", "/v2").json()
    assert set(found) == {"name", "version", "extensions"}
    assert found["name"] == "polyhead"
    assert found["extensions"] == ["binary_tensor_data", "model_repository_extension"]
    assert api("GET", "/v2/models").json() == {"models": ["topic", "new"]}


def test_health_follows_the_service(api: Api) -> None:
    """Live while the device computes, ready when warm and not stopping; 503 otherwise."""
    assert api("GET", "/v2/health/live").json() == {"live": True}
    assert api("GET", "/v2/health/ready").json() == {"ready": True}
    api.service.is_warm = False
    warming = api("GET", "/v2/health/ready")
    api.service.is_warm, api.service.is_draining = True, True
    stopping = api("GET", "/v2/health/ready")
    api.service.raises = DeviceFailed("The device hangs.", 5.0)
    broken = api("GET", "/v2/health/live")
    for response in (warming, stopping, broken):
        assert response.status_code == 503
        assert set(response.json()) == {"error"}
        assert int(response.headers["retry-after"]) >= 1


def test_a_model_shows_its_versions_and_tensors(api: Api) -> None:
    """Typed once its kind is known; before that, any input as JSON."""
    known = api("GET", "/v2/models/topic").json()
    assert (known["name"], known["versions"], known["platform"]) == (
        "topic",
        ["1", "2"],
        "polyhead",
    )
    assert [each["name"] for each in known["inputs"]] == ["text", "text_pair"]
    assert known["outputs"][2] == {"name": "labels", "datatype": "BYTES", "shape": [-1, -1]}
    assert api("GET", "/v2/models/topic/versions/1").json()["parameters"]["version"] == "1"
    whole = [{"name": "json", "datatype": "BYTES", "shape": [-1]}]
    new = api("GET", "/v2/models/new").json()
    assert (new["versions"], new["inputs"], new["outputs"]) == ([], whole, whole)


@pytest.mark.parametrize(
    ("path", "status"),
    (
        ("/v2/models/topic/ready", 200),
        ("/v2/models/new/ready", 200),
        ("/v2/models/topic/versions/1/ready", 200),
        ("/v2/models/topic/versions/2/ready", 503),
        ("/v2/models/topic/versions/0/ready", 410),
        ("/v2/models/topic/versions/9/ready", 404),
        ("/v2/models/topic/versions/9", 404),
        ("/v2/models/topic/ready?version=9", 404),
        ("/v2/models/none", 404),
        ("/v2/models/none/ready", 404),
    ),
)
def test_models_are_ready_when_a_request_would_be_answered(
    api: Api, path: str, status: int
) -> None:
    """Be it after loading; what does not answer says why."""
    response = api("GET", path)
    assert response.status_code == status, response.text
    assert status == 200 or list(response.json()) == ["error"]
    assert "2/ready" not in path or REASONS[0].message in response.json()["error"]


def test_an_answer_names_model_version_and_id(api: Api, heard: list[Call]) -> None:
    """What the client sent reaches the service, and its id comes back."""
    headers = {"x-deadline-ms": "1500", "x-wait-for-model": "false", "x-request-id": "r-1"}
    response = infer(api, headers=headers, id="mine", parameters={"top_k": 1, "flag": True})
    assert response.status_code == 200, response.text
    found = response.json()
    assert (found["model_name"], found["model_version"], found["id"]) == ("topic", "1", "mine")
    assert found["outputs"][0] == {
        "name": "label", "datatype": "BYTES", "shape": [1], "data": ["yes"],
    }  # fmt: skip
    assert response.headers["x-task-version"] == "1"
    call = heard[0]
    assert (call.items, call.parameters) == (["a"], {"top_k": 1, "flag": True})
    assert (call.deadline_s, call.waits, call.request_id) == (1.5, False, "r-1")


def test_an_answer_without_id_has_the_requests(api: Api) -> None:
    """As other servers of this protocol make one up; an empty one is one."""
    response = infer(api)
    assert response.json()["id"] == response.headers["x-request-id"]
    assert infer(api, id="").json()["id"] == ""


def test_path_and_query_pin_a_version(api: Api, heard: list[Call]) -> None:
    """And must not contradict each other."""
    paths = ("/v2/models/topic/versions/1/infer", INFER + "?version=1", INFER)
    answers = [infer(api, path) for path in paths]
    assert [each.status_code for each in answers] == [200] * 3
    assert [call.version for call in heard] == ["1", "1", None]
    assert infer(api, paths[0] + "?version=2").status_code == 400
    assert infer(api, INFER + "?version=").status_code == 400


def test_what_clients_add_for_binary_answers_is_no_parameter(api: Api, heard: list[Call]) -> None:
    """Parameters of heads go on."""
    infer(api, parameters={"binary_data_output": True, "content_type": "str", "top_k": None})
    assert heard[0].parameters == {"top_k": None}


def test_requested_outputs_alone_are_given(api: Api) -> None:
    """In the order asked."""
    outputs = [{"name": "json", "parameters": {"binary_data": False}}, {"name": "score"}]
    found = infer(api, outputs=outputs).json()["outputs"]
    assert [each["name"] for each in found] == ["json", "score"]
    assert all("parameters" not in each for each in found)


RAISED = (
    (Overloaded("Full.", 2.0), 429, "2"),
    (Draining("Stopping.", 1.0), 503, "1"),
    (StillLoading("Loading.", 4.2), 503, "5"),
    (Quarantined("Sick.", 9.0), 503, "9"),
    (UnknownVersion("No such version."), 404, None),
    (ZeroDivisionError("secret"), 500, None),
)


@pytest.mark.parametrize(("error", "status", "retry_after"), RAISED, ids=lambda one: str(one)[:9])
def test_errors_have_the_protocols_shape(
    api: Api, error: Exception, status: int, retry_after: str | None
) -> None:
    """One member, our statuses, Retry-After; nothing of the inside."""
    api.service.raises = error
    response = infer(api)
    assert response.status_code == status
    assert list(response.json()) == ["error"]
    assert response.headers.get("retry-after") == retry_after
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("headers", "said"),
    (
        ({"inference-header-content-length": "10"}, "not valid JSON"),
        ({"x-deadline-ms": "soon"}, "milliseconds"),
    ),
)
def test_what_is_not_spoken_is_refused_in_words(
    api: Api, headers: dict[str, str], said: str
) -> None:
    """Extensions and codings are named with what to do instead."""
    response = infer(api, headers=headers)
    assert response.status_code == 400
    assert said in response.json()["error"]


def test_a_compressed_body_is_415(api: Api) -> None:
    """In the protocol's shape."""
    response = infer(api, headers={"content-encoding": "gzip"})
    assert response.status_code == 415
    assert "without content-encoding" in response.json()["error"]


def test_a_large_body_is_413() -> None:
    """In the protocol's shape."""
    response = infer(Api(max_body_bytes=64))
    assert response.status_code == 413
    assert list(response.json()) == ["error"]


def test_a_wrong_method_or_route_is_an_error_too(api: Api) -> None:
    """A client finds its error member."""
    for method, path, status in (("GET", INFER, 405), ("GET", "/v2/nothing", 404)):
        response = api(method, path)
        assert (response.status_code, "error" in response.json()) == (status, True)


@pytest.mark.parametrize(
    ("action", "query", "expected"),
    (
        ("load", "", [("preload", "topic", "1", None)]),
        ("load", "?version=1", [("preload", "topic", "1", None)]),
        ("unload", "", [("evict", "topic", "1", None)]),
    ),
)
def test_load_and_unload_are_preload_and_evict(
    api: Api, action: str, query: str, expected: list[Any]
) -> None:
    """Of the versions that answer, or that are in memory."""
    response = api("POST", f"/v2/repository/models/topic/{action}{query}")
    assert (response.status_code, response.json()) == (200, {"name": "topic", action: True})
    assert api.service.calls == expected


def test_a_model_that_cannot_be_loaded_says_why(api: Api) -> None:
    """424 with the reasons, 404 for what there is not, 400 for models in the body."""
    where = "/v2/repository/models"
    refused = api("POST", f"{where}/topic/load?version=2")
    assert (refused.status_code, list(refused.json())) == (424, ["error"])
    assert all(reason.message in refused.json()["error"] for reason in REASONS)
    assert api("POST", f"{where}/none/load").status_code == 404
    assert api("POST", f"{where}/topic/load?version=9").status_code == 404
    sent = {"parameters": {"config": "{}"}}
    assert api("POST", f"{where}/topic/load", json=sent).status_code == 400
    dependents = {"parameters": {"unload_dependents": False}}
    assert api("POST", f"{where}/topic/unload", json=dependents).status_code == 200


class Unread(FakeService):
    """Its only version has an id once its files have been looked at."""

    async def act(self, name: str, version: str, action: str, expected: str | None = None) -> None:
        """As before; looking for a version reads the files."""
        self.views[name] = TOPIC
        await super().act(name, version, action, expected)


def test_a_model_that_nobody_read_is_read_before_it_is_loaded() -> None:
    """Its version gets its id by being read."""
    unread = Unread({"topic": replace(TOPIC, version=None, versions=())})
    app = create_app(unread, load_settings(), PrometheusRecorder())

    async def use() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post("/v2/repository/models/topic/load")

    assert asyncio.run(use()).json() == {"name": "topic", "load": True}
    assert unread.calls == [("preload", "topic", "1", None)]
