"""The life of tasks over HTTP, with everything real but the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from serving.app import create_app
from serving.catalog.files import open_store
from serving.hot_service import HotService
from serving.lifecycle.admitting.at_once import AtOnce
from serving.lifecycle.live.tasks import Tasks
from serving.metrics import PrometheusRecorder
from serving.opening import Opened
from serving.settings import load_settings
from tests.lifecycle.folder_life import HashEngine

Client = httpx.AsyncClient
Serve = Callable[..., Any]
TOPIC = "versions:\n- {id: '1', adapter: /a/one}\n"


@asynccontextmanager
async def served(folder: Path, **settings: Any) -> AsyncIterator[Client]:
    """A client of a started server on a folder."""
    given = load_settings(poll_s=0.05, state_dir=str(folder.parent / "state"), **settings)
    store, engine, tasks = open_store(str(folder), given.poll_s), HashEngine(), Tasks()
    tasks.apply(store.read())
    recorder = PrometheusRecorder()
    opened = Opened(engine, tasks, AtOnce(tasks, engine), store, "fake")
    service = HotService(opened, given, recorder)
    await service.start()
    try:
        transport = httpx.ASGITransport(create_app(service, given, recorder))
        async with Client(transport=transport, base_url="http://test") as client:
            yield client
    finally:
        await asyncio.to_thread(service.stop)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    """Runs an async function with clients of servers on one folder."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "topic.yaml").write_text(TOPIC)

    def begin(use: Callable[..., Awaitable[None]], num_servers: int = 1, **settings: Any) -> None:
        async def main() -> None:
            async with AsyncExitStack() as stack:
                servers = [served(folder, **settings) for _ in range(num_servers)]
                await use(folder, *[await stack.enter_async_context(each) for each in servers])

        asyncio.run(main())

    return begin


async def until(client: Client, path: str, is_so: Callable[[httpx.Response], bool]) -> Any:
    """The first answer that is as it should be."""
    for _ in range(1000):
        response = await client.get(path)
        if is_so(response):
            return response.json()
        await asyncio.sleep(0.01)
    raise AssertionError(f"{path} never came about: {response.text}")


async def put(client: Client, id: str, **entry: Any) -> Any:
    """Put a version of the topic and wait until it is ready."""
    made = await client.put("/tasks/topic", json={"id": id, "adapter": f"/a/{id}", **entry})
    assert made.status_code == 200, made.text
    return await until(
        client, f"/tasks/topic/versions/{id}", lambda found: found.json()["state"] == "ready"
    )


async def answering(client: Client, path: str = "/models/topic") -> str:
    """Who answers."""
    response = await client.post(path, json={"inputs": "a b"})
    assert response.status_code == 200, response.text
    return response.headers["x-task-version"]


def test_version_is_put_promoted_rolled_back_and_retired(run: Callable[..., None]) -> None:
    """Each step is in the file, in the answers, and on the task's page."""

    async def use(folder: Path, client: Client) -> None:
        assert await answering(client) == "1"
        await put(client, "2", shadow=True)
        assert await answering(client) == "1"
        promoted = await client.post("/tasks/topic/versions/2:promote")
        assert promoted.json()["version"] == await answering(client) == "2"
        assert await answering(client, "/models/topic?version=1") == "1"
        await client.post("/tasks/topic/versions/2:rollback")
        assert await answering(client) == "1"
        assert (await client.delete("/tasks/topic/versions/2")).status_code == 204
        for path in ("/tasks/topic/versions/2", "/models/topic?version=2"):
            assert (await client.get(path)).status_code == 410
        gone = await client.post("/models/topic?version=2", json={"inputs": "a"})
        assert (gone.status_code, gone.json()["code"]) == (410, "version_retired")
        entry = yaml.safe_load((folder / "topic.yaml").read_text())
        assert [version["id"] for version in entry["versions"]] == ["1"]
        assert (await client.get("/tasks/topic")).json()["retired"] == ["2"]

    run(use)


def test_rejected_version_leaves_the_old_one_serving(run: Callable[..., None]) -> None:
    """424 with reasons for whoever asks for it, and for nobody else."""

    async def use(folder: Path, client: Client) -> None:
        await client.put("/tasks/topic", json={"id": "bad", "adapter": "/a/broken"})
        page = "/tasks/topic/versions/bad"
        refused = await until(client, page, lambda found: found.status_code == 424)
        reasons = [{"code": "missing_tensor", "message": "x is missing."}]
        assert refused["reasons"] == reasons
        for path in ("/models/topic?version=bad", f"{page}:preload", f"{page}:promote"):
            response = await client.post(path, json={"inputs": "a"})
            assert (response.status_code, response.json()["reasons"]) == (424, reasons), path
        assert await answering(client) == "1"
        assert (await client.get("/models/topic/health")).status_code == 200

    run(use)


def test_guards_and_conflicts_hold_against_the_file(run: Callable[..., None]) -> None:
    """An ETag is the entry's; an id stands for one content."""

    async def use(folder: Path, client: Client) -> None:
        etag = (await client.get("/tasks/topic")).headers["etag"]
        await put(client, "2")
        stale = await client.delete("/tasks/topic", headers={"if-match": etag})
        assert (stale.status_code, stale.json()["code"]) == (409, "version_conflict")
        fresh = (await client.get("/tasks/topic")).headers["etag"]
        same = await client.put("/tasks/topic", json={"id": "2", "adapter": "/a/2"})
        assert (same.status_code, same.headers["etag"]) == (200, fresh)
        other = await client.put("/tasks/topic", json={"id": "2", "adapter": "/a/other"})
        assert (other.status_code, other.json()["code"]) == (409, "version_conflict")
        gone = await client.delete("/tasks/topic", headers={"if-match": fresh})
        assert (gone.status_code, (folder / "topic.yaml").exists()) == (204, False)
        assert (await client.post("/models/topic", json={"inputs": "a"})).status_code == 404
        guard = {"if-none-match": "*"}
        made = await client.put("/tasks/topic", json={"adapter": "/a/new"}, headers=guard)
        assert made.status_code == 201

    run(use)


def test_servers_on_one_folder_follow_each_other(run: Callable[..., None]) -> None:
    """What one is told, the other does; what is edited, both do."""

    async def use(folder: Path, first: Client, second: Client) -> None:
        await put(first, "2")
        await until(second, "/tasks/topic", lambda found: found.json()["version"] == "2")
        tags = [(await each.get("/tasks/topic")).headers["etag"] for each in (first, second)]
        assert tags[0] == tags[1]
        (folder / "typed.yaml").write_text("adapter: /a/typed\n")
        for each in (first, second):
            await until(each, "/tasks/typed", lambda found: found.status_code == 200)

    run(use, num_servers=2)


def test_metrics_show_the_life_and_forget_what_is_gone(run: Callable[..., None]) -> None:
    """Who answered, what was loaded and judged; nothing of versions that are gone."""

    async def use(_: Path, client: Client) -> None:
        await put(client, "2")
        assert await answering(client) == "2"
        text = (await client.get("/metrics")).text
        series = 'polyhead_version_requests_total{result="ok",task="topic",version="2"} 1.0'
        assert series in text
        assert 'polyhead_admissions_total{result="accepted"}' in text
        assert 'polyhead_loads_total{result="ok",source="local"}' in text
        assert 'polyhead_resident_versions{task="topic",tier="device"}' in text
        await client.delete("/tasks/topic")
        for _ in range(1000):
            text = (await client.get("/metrics")).text
            if 'task="topic"' not in text:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(text)

    run(use)


def test_preload_and_evict_move_the_weights(run: Callable[..., None]) -> None:
    """A version that nobody has asked for yet is checked and brought in."""

    async def use(_: Path, client: Client) -> None:
        assert (await client.get("/tasks/topic")).json()["state"] == "pending"
        loaded = (await client.post("/tasks/topic/versions/1:preload")).json()
        assert (loaded["state"], loaded["residency"]) == ("ready", "device")
        out = (await client.post("/tasks/topic/versions/1:evict")).json()
        assert out["versions"][0]["residency"] == "absent"
        later = await client.post("/tasks/topic/versions/1:preload?wait=false")
        assert later.status_code == 202
        await until(client, "/tasks/topic", lambda found: found.json()["residency"] == "device")

    run(use)
