"""The tasks of one analyze on a real engine: rows shared, lower layers shared, the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from adapter_runtime import EngineConfig, Kind, Leaf, TaskSpec
from adapter_runtime.engine import forking
from serving.catalog.keys import plan_of
from serving.catalog.plans import TaskFile
from serving.settings import load_settings
from tests.engine.workshop import Workshop, write_task
from tests.serving.conftest import Server

TEXT = "the big dog sat on a mat and saw the red house"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Heads over one adapter, over another one, and over none."""
    monkeypatch.setattr(forking, "_LEAST_WORK", 0)
    (folder := tmp_path / "backbone").mkdir()
    engine = Workshop("bert", folder, EngineConfig(streams=2)).engine
    random = torch.Generator().manual_seed(3)
    adapter, other = (
        str(write_task(tmp_path / name, engine.backbone.facts, random)) for name in ("one", "two")
    )
    specs = (
        TaskSpec("same", adapter=Leaf(adapter)),
        TaskSpec("same-head", adapter=Leaf(adapter), head=other),
        TaskSpec("other", adapter=Leaf(other)),
        TaskSpec("bare", head=other),
        TaskSpec("embed", kind=Kind.FEATURE_EXTRACTION),
    )
    file = TaskFile("real", tuple(map(plan_of, specs)))
    return Server(engine, load_settings(), file)  # type: ignore[arg-type]  # any engine will do


def scores(outputs: Any) -> list[float]:
    """The numbers of an answer, in an order that does not depend on them."""
    if isinstance(outputs[0][0], float):
        return [number for vector in outputs for number in vector]
    return [item["score"] for item in sorted(outputs[0], key=lambda item: str(item["label"]))]


def test_tasks_share_rows_and_answer_as_alone(server: Server) -> None:
    """Two heads over one adapter are one row, and so are two over none."""
    tasks = ["same", "same-head", "other", "bare", "embed"]

    async def use(client: httpx.AsyncClient) -> tuple[Any, list[Any], list[Any]]:
        found = await client.post("/v1/analyze", json={"inputs": TEXT, "tasks": tasks})
        batches = (await client.get("/debug/batches")).json()["batches"]
        alone = [await client.post(f"/models/{task}", json={"inputs": TEXT}) for task in tasks]
        return found.json()["results"], batches, [each.json() for each in alone]

    results, batches, alone = server.run(use)
    for result, expected in zip(results.values(), alone, strict=True):
        assert scores(result["outputs"]) == pytest.approx(scores(expected), abs=1e-5)
    mixed = [batch for batch in batches if batch["num_tasks"] > 0 and batch["tasks"][0] in tasks]
    assert sum(batch["rows"] for batch in mixed) == len(tasks)
    assert sum(batch["rows_run"] for batch in mixed) == 3
