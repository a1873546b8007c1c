"""Tasks, health, metrics, documentation."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from serving.metrics import METRICS
from tests.serving.conftest import Server


def test_tasks_lists_every_task_and_why_one_failed(server: Server) -> None:
    """Broken tasks are listed, not hidden."""
    tasks = {task["name"]: task for task in server.get("/tasks").json()["tasks"]}
    assert list(tasks) == ["sentiment", "topic", "embed", "qa", "tags", "sick", "misspelt"]
    assert tasks["topic"]["state"] == "ready"
    assert tasks["sick"]["state"] != "ready"
    assert tasks["sick"]["reason"] == "x is missing."


@pytest.mark.parametrize("tail", ("", "/info"))
def test_task_describes_itself(server: Server, tail: str) -> None:
    """Kind, labels, version, limits, residency."""
    found = server.get(f"/models/topic{tail}").json()
    assert found["kind"] == "text-classification"
    assert found["labels"] == ["no", "yes"]
    assert found["version"] == "v1"
    assert found["digest"] == "digest-topic"
    assert found["residency"] == "device"
    assert set(found["limits"]) == {"max_tokens", "overflow", "stride", "aggregation"}


PROBES = (
    ("/health/live", 200),
    ("/health/ready", 200),
    ("/health", 200),
    ("/info", 200),
    ("/models/topic/health", 200),
    ("/models/sick/health", 503),
    ("/models/none/health", 404),
    ("/models/none", 404),
    ("/", 200),
)


@pytest.mark.parametrize(("path", "status"), PROBES)
def test_probe_answers(server: Server, path: str, status: int) -> None:
    """Every probe of operators and of the hub's client."""
    assert server.get(path).status_code == status


def test_metrics_hold_every_declared_metric(server: Server) -> None:
    """After one good and one bad request, all metrics that the table declares are exposed."""

    async def use(client: httpx.AsyncClient) -> str:
        await client.post("/models/topic", json={"inputs": "a"})
        await client.post("/models/none", json={"inputs": "a"})
        return (await client.get("/metrics")).text

    text = server.run(use)
    assert all(metric.name in text for metric in METRICS)
    assert 'polyhead_requests_total{status="200",task="topic"} 1.0' in text
    assert 'polyhead_errors_total{code="unknown_task",task="-"} 1.0' in text
    assert 'polyhead_resident_adapters{tier="device"} 2.0' in text


def test_metrics_can_be_chosen_by_name(server: Server) -> None:
    """Whoever draws two of them need not be sent all, which are thousands with many tasks."""
    text = server.get("/metrics?name[]=polyhead_queue_rows&name[]=polyhead_batch_rows_sum").text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert sorted(lines) == ["polyhead_batch_rows_sum 0.0", "polyhead_queue_rows 0.0"]


def test_metrics_are_open_metrics_for_who_accepts_them(server: Server) -> None:
    """Prometheus asks so; others get the old text, whatever else they accept."""

    async def use(client: httpx.AsyncClient) -> list[httpx.Response]:
        await client.post("/models/topic", json={"inputs": "a"})
        asked = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
        return [await client.get("/metrics", headers={"accept": a}) for a in (asked, "*/*", "x;=")]

    open_, *others = server.run(use)
    assert open_.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name for family in text_string_to_metric_families(open_.text)}
    assert {metric.name.removesuffix("_total") for metric in METRICS} <= families
    assert {each.headers["content-type"] for each in others} == {
        "text/plain; version=0.0.4; charset=utf-8"
    }


def test_process_is_measured_too(server: Server) -> None:
    """Its memory, its time, its files, and the collector."""
    text = server.get("/metrics").text
    names = ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds")
    assert all(f"\n{name} " in text for name in names)
    assert "python_gc_collections_total" in text


def test_documentation_works_without_internet(server: Server) -> None:
    """The page names only our own files, and they are there."""

    async def use(client: httpx.AsyncClient) -> None:
        page = (await client.get("/docs")).text
        assert "https://" not in page
        for file in ("swagger-ui-bundle.js", "swagger-ui.css"):
            assert (await client.get(f"/static-offline-docs/{file}")).status_code == 200
        paths = (await client.get("/openapi.json")).json()["paths"]
        assert {"/models/{task}", "/tasks", "/metrics"} <= set(paths)

    server.run(use)


def test_access_log_is_off_unless_asked_for(
    make_server: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    """A line per request costs throughput."""
    caplog.set_level("INFO", "serving.protocols.wire")
    for is_on in (False, True):
        caplog.clear()
        make_server(access_log=is_on).get("/health/live")
        assert ("GET '/health/live'" in caplog.text) is is_on
