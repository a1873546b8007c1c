"""The hub protocol: every status, every shape."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.serving.conftest import Server
from tests.serving.fake_engine import FakeEngine

BAD_BODIES: tuple[tuple[bytes, str], ...] = (
    (b"", "body"),
    (b"not json", "body"),
    (b'{"inputs": "\xff"}', "body"),
    (b"[1]", "body"),
    (b"{}", "inputs"),
    (b'{"inputs": []}', "inputs"),
    (b'{"inputs": " "}', "inputs"),
    (b'{"inputs": ["fine", ""]}', "inputs[1]"),
    (b'{"inputs": "a", "parameters": 3}', "parameters"),
    (b'{"inputs": "a", "parameters": {"topk": 3}}', "parameters.topk"),
    (b'{"inputs": "a", "top_k": 1, "parameters": {"top_k": 3}}', "top_k"),
    (b'{"inputs": "a", "options": {"nonsense": 1}}', "options"),
)


@pytest.mark.parametrize(("body", "field"), BAD_BODIES)
def test_bad_body_is_422_and_names_the_field(server: Server, body: bytes, field: str) -> None:
    """Whatever is wrong, the answer says where."""
    response = server.post("/models/topic", content=body)
    assert response.status_code == 422
    assert response.json()["error"].startswith(f"{field}:")
    assert response.json()["code"] == "invalid_input"


SHAPES: tuple[tuple[str, Any, Any], ...] = (
    ("sentiment", "a b", [[{"label": "sentiment", "score": 2.0}]]),
    ("sentiment", ["a b", "c"], [[{"label": "sentiment", "score": n}] for n in (2.0, 1.0)]),
    ("tags", "a b", [{"label": "tags", "score": 2.0}]),
    ("tags", ["a b"], [[{"label": "tags", "score": 2.0}]]),
    ("embed", "a b c", [[3.0]]),
    ("embed", ["a", "a b"], [[1.0], [2.0]]),
    ("embed", {"source_sentence": "a", "context": "a b"}, [2.0]),
    (
        "qa",
        {"question": "q", "context": "c d"},
        {"answer": "c d", "score": 1.0, "start": 0, "end": 2},
    ),
)


@pytest.mark.parametrize(("task", "inputs", "expected"), SHAPES)
def test_answer_has_the_shape_that_the_client_reads(
    server: Server, task: str, inputs: Any, expected: Any
) -> None:
    """One input or a list, for each kind."""
    response = server.post(f"/models/{task}", json={"inputs": inputs, "parameters": {}})
    assert response.status_code == 200, response.text
    assert response.json() == expected


def test_flat_parameters_are_taken(server: Server) -> None:
    """Feature extraction sends its parameters beside the inputs."""
    assert server.post("/models/embed", json={"inputs": "a", "normalize": True}).status_code == 200


def test_answer_headers_say_how_it_came_about(server: Server) -> None:
    """Version, residency, times, batch, truncation and the client's request id."""
    response = server.post(
        "/models/topic", json={"inputs": "so long"}, headers={"x-request-id": "mine-1"}
    )
    headers = response.headers
    assert headers["x-request-id"] == "mine-1"
    assert headers["x-task-version"] == "v1"
    assert headers["x-adapter-residency"] == "device"
    assert float(headers["x-queue-time"]) >= 0
    assert float(headers["x-inference-time"]) >= 0
    assert float(headers["x-encode-time"]) <= float(headers["x-total-time"])
    stages = re.findall(r"(\w+);dur=\d+\.\d\d", headers["server-timing"])
    assert stages == ["encode", "queue", "load", "forward", "decode"]
    assert (headers["x-batch-tokens"], headers["x-batch-tasks"]) == ("2", "1")
    assert headers["x-truncated"] == "true"


def test_insane_request_id_is_replaced(server: Server) -> None:
    """A client's id goes into the log: it must be short and plain."""
    response = server.post(
        "/models/topic", json={"inputs": "a"}, headers={"x-request-id": "a b" * 99}
    )
    assert len(response.headers["x-request-id"]) == 24
    assert "x-truncated" not in response.headers


def test_unknown_task_is_404_with_near_names(server: Server) -> None:
    """Never the bare backbone's answer."""
    response = server.post("/models/Sentimnt", json={"inputs": "a"})
    assert response.status_code == 404
    assert response.json()["code"] == "unknown_task"
    assert "sentiment" in response.json()["error"]
    assert response.json()["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize(("task", "reason"), (("sick", "x is missing"), ("misspelt", "adaptor")))
def test_failed_task_is_424_with_its_reason(server: Server, task: str, reason: str) -> None:
    """A task that is broken says why to whoever asks it."""
    response = server.post(f"/models/{task}", json={"inputs": "a"})
    assert response.status_code == 424
    assert reason in response.json()["error"]


def test_too_many_items_is_422(make_server: Callable[..., Server]) -> None:
    """The list is bounded."""
    response = make_server(max_items=2).post("/models/topic", json={"inputs": ["a"] * 3})
    assert response.status_code == 422
    assert "3 items" in response.json()["error"]


def test_large_body_is_413_while_reading(make_server: Callable[..., Server]) -> None:
    """Declared or streamed, a large body is refused."""
    server = make_server(max_body_bytes=100)

    async def stream() -> Any:
        for _ in range(50):
            yield b"x" * 10

    async def use(client: httpx.AsyncClient) -> list[httpx.Response]:
        declared = await client.post("/models/topic", content=b"x" * 101)
        return [declared, await client.post("/models/topic", content=stream())]

    assert [response.status_code for response in server.run(use)] == [413, 413]


def test_wrong_route_and_method_have_our_shape(server: Server) -> None:
    """Framework errors look like all others."""

    async def use(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [await client.get("/nothing"), await client.post("/tasks")]

    nothing, wrong = server.run(use)
    assert (nothing.status_code, nothing.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert "request_id" in wrong.json()


def test_row_that_fails_does_not_spoil_its_neighbours(server: Server, engine: FakeEngine) -> None:
    """Thirteen words fail; what ran in the same forward is answered."""
    engine.gate = threading.Event()

    async def use(client: httpx.AsyncClient) -> list[httpx.Response]:
        texts = ("first", " ".join("x" * 13), "a b")
        posts = [client.post("/models/topic", json={"inputs": text}) for text in texts]
        tasks = [asyncio.ensure_future(post) for post in posts]
        await asyncio.sleep(0.2)
        assert engine.gate is not None
        engine.gate.set()
        return await asyncio.gather(*tasks)

    responses = server.run(use)
    assert sorted(response.status_code for response in responses) == [200, 200, 500]
    assert {response.json()["code"] for response in responses if response.status_code == 500} == {
        "row_failed"
    }


def test_failed_device_fails_its_rows_only(server: Server, engine: FakeEngine) -> None:
    """After it has come back all tasks are answered: none of them was to blame."""

    async def use(client: httpx.AsyncClient) -> list[int]:
        engine.fails = RuntimeError("launch failure")
        first = await client.post("/models/topic", json={"inputs": "a"})
        engine.fails = None
        again = await client.post("/models/topic", json={"inputs": "a"})
        other = await client.post("/models/embed", json={"inputs": "a"})
        assert "launch failure" not in first.text
        assert (first.json()["code"], first.headers["retry-after"]) == ("device_failed", "5")
        return [first.status_code, again.status_code, other.status_code]

    assert server.run(use) == [503, 200, 200]


def test_full_server_is_429_with_retry_after(
    make_server: Callable[..., Server], engine: FakeEngine
) -> None:
    """Past the permits there is no queue."""
    engine.gate = threading.Event()
    server = make_server(max_requests=2)

    async def use(client: httpx.AsyncClient) -> httpx.Response:
        body = {"inputs": "a"}
        inside = [asyncio.ensure_future(client.post("/models/topic", json=body)) for _ in range(2)]
        await asyncio.sleep(0.1)
        refused = await client.post("/models/topic", json=body)
        assert engine.gate is not None
        engine.gate.set()
        assert [each.status_code for each in await asyncio.gather(*inside)] == [200, 200]
        return refused

    refused = server.run(use)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1


def test_too_many_rows_are_429_or_422(make_server: Callable[..., Server]) -> None:
    """A request that can never fit is told so."""
    response = make_server(max_rows=2).post("/models/topic", json={"inputs": "a\nb\nc"})
    assert (response.status_code, response.json()["code"]) == (422, "too_long")


def test_passed_deadline_is_504(server: Server, engine: FakeEngine) -> None:
    """The client hears in time, whatever the device does."""
    engine.gate = threading.Event()

    async def use(client: httpx.AsyncClient) -> httpx.Response:
        headers = {"x-deadline-ms": "50"}
        response = await client.post("/models/topic", json={"inputs": "a"}, headers=headers)
        assert engine.gate is not None
        engine.gate.set()
        return response

    response = server.run(use)
    assert (response.status_code, response.json()["code"]) == (504, "deadline_exceeded")


@pytest.mark.parametrize("value", ("soon", "-1", "nan", "0", "inf", "1_0"))
def test_bad_deadline_is_422(server: Server, value: str) -> None:
    """The header is named."""
    response = server.post("/models/topic", json={"inputs": "a"}, headers={"x-deadline-ms": value})
    assert response.status_code == 422
    assert response.json()["error"].startswith("x-deadline-ms")


def test_cold_task_answers_after_loading(server: Server, engine: FakeEngine) -> None:
    """A cold task is loaded in the background and then answered."""
    engine.cold, engine.load_s = {"topic"}, 0.05
    response = server.post("/models/topic", json={"inputs": "a"})
    assert response.status_code == 200
    assert response.headers["x-adapter-residency"] == "absent"


@pytest.mark.parametrize(
    ("headers", "more"),
    (({"x-wait-for-model": "false"}, {}), ({}, {"options": {"wait_for_model": False}})),
)
def test_client_that_does_not_wait_gets_503(
    server: Server, engine: FakeEngine, headers: dict[str, str], more: dict[str, Any]
) -> None:
    """With an estimate, and the load has begun."""
    engine.cold = {"topic"}
    response = server.post("/models/topic", json={"inputs": "a", **more}, headers=headers)
    assert (response.status_code, response.json()["code"]) == (503, "loading")
    assert response.headers["retry-after"] == "1"
    assert response.json()["estimated_time"] == 1.0


def test_load_that_fails_is_424(server: Server, engine: FakeEngine) -> None:
    """The reason reaches those who waited for it."""
    engine.cold, engine.load_fails = {"topic"}, True
    response = server.post("/models/topic", json={"inputs": "a"})
    assert (response.status_code, response.json()["code"]) == (424, "source_error")


def test_draining_server_refuses_with_503(server: Server) -> None:
    """New requests are refused, probes are told."""

    async def use(client: httpx.AsyncClient) -> list[httpx.Response]:
        server.service.drain()
        return [
            await client.post("/models/topic", json={"inputs": "a"}),
            await client.get("/health/ready"),
            await client.get("/health/live"),
        ]

    answered = server.run(use)
    assert [response.status_code for response in answered] == [503, 503, 200]
    assert answered[0].headers["retry-after"] == "1"
