"""One input, many tasks: every outcome in one answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest

from adapter_runtime import Leaf, TaskSpec
from serving.catalog.keys import plan_of
from serving.catalog.plans import TaskFile
from serving.settings import load_settings
from tests.serving.conftest import Server
from tests.serving.fake_engine import FakeEngine

PATH = "/v1/analyze"
ALL = ("sentiment", "topic", "embed", "tags")


def ask(server: Server, inputs: Any, tasks: list[Any]) -> tuple[httpx.Response, list[Any]]:
    """The answer for all tasks, and those of each asked alone afterwards."""

    async def use(client: httpx.AsyncClient) -> tuple[httpx.Response, list[Any]]:
        found = await client.post(PATH, json={"inputs": inputs, "tasks": tasks})
        alone = [await client.post(f"/models/{task}", json={"inputs": inputs}) for task in tasks]
        return found, alone

    outcome: tuple[httpx.Response, list[Any]] = server.run(use)
    return outcome


def test_every_task_answers_as_it_does_alone(server: Server) -> None:
    """The same outputs, version and kind, in the order in which they were asked."""
    found, alones = ask(server, "a b", ["tags", "embed", "topic"])
    assert found.status_code == 200
    results = found.json()["results"]
    assert list(results) == ["tags", "embed", "topic"]
    for result, alone in zip(results.values(), alones, strict=True):
        assert result["outputs"] == alone.json()
        assert result["version"] == alone.headers["x-task-version"]
    assert results["embed"]["kind"] == "feature-extraction"
    assert float(found.headers["x-inference-time"]) >= 0
    assert "x-task-version" not in found.headers


@pytest.mark.parametrize("inputs", (["a b", "c"], {"question": "q", "context": "c d"}))
def test_lists_and_the_shapes_of_kinds_are_taken(server: Server, inputs: Any) -> None:
    """Whatever all the tasks take, each answers as alone."""
    tasks = ["qa", "sentiment"] if isinstance(inputs, dict) else ["tags", "sentiment"]
    found, alones = ask(server, inputs, tasks)
    for task, alone in zip(tasks, alones, strict=True):
        assert found.json()["results"][task]["outputs"] == alone.json()


def test_an_error_is_its_own_tasks_alone(server: Server) -> None:
    """Unknown, refused and broken tasks tell why, with the status that they have alone."""
    tasks = ["sentiment", "none", "sick", "misspelt"]
    found, alones = ask(server, "a", tasks)
    assert found.status_code == 200
    results = found.json()["results"]
    assert results["sentiment"]["outputs"]
    for task, alone in list(zip(tasks, alones, strict=True))[1:]:
        assert results[task]["status"] == alone.status_code
        assert results[task]["code"] == alone.json()["code"]
        assert results[task]["error"] == alone.json()["error"]
        assert results[task]["request_id"] == found.headers["x-request-id"]


def test_without_any_answer_the_first_error_is_the_response(server: Server) -> None:
    """Clients that know no fan-out read the status and the error as always."""
    found = server.post(PATH, json={"inputs": "", "tasks": ["topic", "none"]})
    assert found.status_code == 422
    assert found.json()["code"] == "invalid_input"
    assert found.json()["results"]["none"]["status"] == 404


def test_a_task_that_is_named_twice_is_answered_once(server: Server) -> None:
    """Alike it is one Call; asked otherwise it is an error."""
    other = {"task": "topic", "parameters": {"top_k": 2}}

    async def use(client: httpx.AsyncClient) -> list[httpx.Response]:
        asked = ["topic", "topic"], ["topic", other]
        return [await client.post(PATH, json={"inputs": "a", "tasks": tasks}) for tasks in asked]

    alike, otherwise = server.run(use)
    assert list(alike.json()["results"]) == ["topic"]
    assert len(server.engine.batches) == 1
    assert otherwise.status_code == 422
    assert "tasks[1]" in otherwise.json()["error"]


def test_versions_and_parameters_are_asked_for_by_task(server: Server) -> None:
    """Beside the parameters of all; what one task does not know is its own error."""
    tasks = [
        {"task": "topic", "parameters": {"top_k": 1}},
        {"task": "tags", "parameters": {"strange": 1}},
        {"task": "sentiment", "version": "none"},
    ]
    body = {"inputs": "a", "tasks": tasks, "parameters": {"normalize": True}}
    results = server.post(PATH, json=body).json()["results"]
    assert results["topic"]["outputs"]
    assert results["tags"]["status"] == 422
    assert results["sentiment"]["code"] == "unknown_version"


BAD: tuple[tuple[bytes, str], ...] = (
    (b"[]", "body"),
    (b"{", "body"),
    (b'{"tasks": ["topic"]}', "inputs"),
    (b'{"inputs": "a"}', "tasks"),
    (b'{"inputs": "a", "tasks": []}', "tasks"),
    (b'{"inputs": "a", "tasks": "topic"}', "tasks"),
    (b'{"inputs": "a", "tasks": ["topic", 3]}', "tasks[1]"),
    (b'{"inputs": "a", "tasks": [""]}', "tasks[0].task"),
    (b'{"inputs": "a", "tasks": [{"version": "1"}]}', "tasks[0].task"),
    (b'{"inputs": "a", "tasks": [{"task": "topic", "versoin": "1"}]}', "tasks[0]"),
    (b'{"inputs": "a", "tasks": [{"task": "topic", "version": 1}]}', "tasks[0].version"),
    (b'{"inputs": "a", "tasks": [{"task": "topic", "parameters": 1}]}', "tasks[0].parameters"),
    (b'{"inputs": "a", "tasks": ["topic"], "parameters": 3}', "parameters"),
    (b'{"inputs": "a", "tasks": ["topic"], "text": "b"}', "text"),
)


@pytest.mark.parametrize(("body", "field"), BAD)
def test_a_bad_body_names_the_field(server: Server, body: bytes, field: str) -> None:
    """No task is asked."""
    found = server.post(PATH, content=body)
    assert found.status_code == 422
    assert found.json()["error"].startswith(f"{field}:")
    assert not server.engine.batches


def test_there_are_only_so_many_tasks(make_server: Callable[..., Server]) -> None:
    """More than the setting allows are refused before any is asked."""
    server = make_server(max_analyze_tasks=2)

    async def use(client: httpx.AsyncClient) -> list[httpx.Response]:
        asked = ALL[:2], ALL[:3]
        return [await client.post(PATH, json={"inputs": "a", "tasks": tasks}) for tasks in asked]

    few, many = server.run(use)
    assert few.status_code == 200
    assert many.status_code == 422
    assert "at most 2" in many.json()["error"]


def test_there_are_only_so_many_answers(make_server: Callable[..., Server]) -> None:
    """Inputs times tasks are as many as inputs may be that one task is asked about."""
    found = make_server(max_items=5).post(PATH, json={"inputs": ["a"] * 3, "tasks": ALL[:2]})
    assert found.status_code == 422
    assert "6 answers; ask for at most 5" in found.json()["error"]


def test_each_task_keeps_the_deadline(server: Server, engine: FakeEngine) -> None:
    """What is not there in time is late, as alone."""
    engine.gate = threading.Event()

    async def use(client: httpx.AsyncClient) -> httpx.Response:
        body = {"inputs": "a", "tasks": ALL}
        found = await client.post(PATH, json=body, headers={"x-deadline-ms": "50"})
        engine.gate.set()
        return found

    found = server.run(use)
    assert found.status_code == 504
    assert {result["code"] for result in found.json()["results"].values()} == {"deadline_exceeded"}


def test_texts_are_read_once_for_all_tasks(server: Server) -> None:
    """By one encoder, where each task alone reads for itself."""
    ask(server, ["a b", "c"], ["embed", "sentiment", "topic"])
    assert [name for name, _ in server.engine.calls if name == "encoder"] == ["encoder"]


def test_tasks_over_the_same_adapters_run_in_one_batch(engine: FakeEngine) -> None:
    """Be there other lanes that are free."""
    engine.info = replace(engine.info, num_lanes=2)
    specs = tuple(TaskSpec(name, adapter=Leaf("/a/same")) for name in "abcdef")
    server = Server(engine, load_settings(), TaskFile("fake", tuple(map(plan_of, specs))))
    found = server.post(PATH, json={"inputs": "a b", "tasks": list("abcdef")})
    assert [len(batch) for batch in engine.batches] == [6]
    assert {result["batch_tasks"] for result in found.json()["results"].values()} == {6}


def test_nothing_goes_on_for_a_client_that_has_left(server: Server, engine: FakeEngine) -> None:
    """All its tasks are cancelled, and no place inside stays taken."""
    engine.gate = threading.Event()
    body = orjson.dumps({"inputs": "a", "tasks": ALL})
    came, sent, inside = [False], [], []

    async def receive() -> dict[str, Any]:
        if not came[0]:
            came[0] = True
            return {"type": "http.request", "body": body}
        while server.service.num_inside < len(ALL):
            await asyncio.sleep(0.001)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def use(_: httpx.AsyncClient) -> None:
        scope = {"type": "http", "method": "POST", "path": PATH, "query_string": b""}
        scope |= {"http_version": "1.1", "headers": [], "root_path": "", "raw_path": PATH.encode()}
        await server.app(scope, receive, send)
        inside.append(server.service.num_inside)
        engine.gate.set()

    server.run(use)
    assert sent[0]["status"] == 499
    assert inside == [0]
