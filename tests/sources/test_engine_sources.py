"""Tasks whose files come from a hub or a store, through the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem

from adapter_runtime import EngineConfig, Leaf, SourceRefused, TaskSpec
from adapter_runtime.engine.engine import LocalEngine
from tests.engine.workshop import Workshop, answer, write_task
from tests.hub import SHA, Hub
from tests.sources.conftest import put

Opener = Callable[..., LocalEngine]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Opens engines with settings, and closes them."""
    engines: list[LocalEngine] = []

    def build(**settings: object) -> LocalEngine:
        folder = tmp_path / f"backbone{len(engines)}"
        folder.mkdir()
        config = EngineConfig(streams=1, cache_dir=str(tmp_path / "copies"), **settings)
        engines.append(Workshop("bert", folder, config).engine)
        return engines[-1]

    yield build
    for engine in engines:
        engine.close()


def write(engine: LocalEngine, folder: Path) -> dict[str, bytes]:
    """A task's files, by name."""
    facts = engine.backbone.facts
    write_task(folder, facts, torch.Generator().manual_seed(3))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_one_task_answers_alike_wherever_its_files_come_from(
    opened: Opener, hub: Hub, store: MemoryFileSystem, tmp_path: Path
) -> None:
    """A folder, a repository, a bucket."""
    engine = opened()
    files = write(engine, tmp_path / "spam")
    hub.commit("org/adapter", files)
    put(store, "memory://bucket/spam", files)
    sources = (str(tmp_path / "spam"), "hf://org/adapter", "memory://bucket/spam")
    answers = [
        answer(engine, engine.prepare(TaskSpec(f"task{number}", adapter=Leaf(source))))
        for number, source in enumerate(sources)
    ]
    assert answers[0] == answers[1] == answers[2]


def test_only_allowed_sources_serve_and_the_backbone_is_no_matter_of_the_list(
    opened: Opener, tmp_path: Path
) -> None:
    """The operator named the backbone himself; its folder allows no adapter in it."""
    engine = opened(allowed_sources=(str(tmp_path / "good"), "hf://org"))
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
        write(engine, tmp_path / name / "spam")
    assert engine.prepare(TaskSpec("good", adapter=Leaf(str(tmp_path / "good" / "spam"))))
    backbone = str(tmp_path / "backbone0")
    for source in (str(tmp_path / "bad" / "spam"), backbone, f"hf://other/x@{SHA}", "@ukp/x"):
        with pytest.raises(SourceRefused, match="allowed_sources"):
            engine.prepare(TaskSpec("bad", adapter=Leaf(source)))
    with pytest.raises(SourceRefused, match="allowed_sources"):
        engine.prepare(TaskSpec("bad", head=str(tmp_path / "bad" / "spam")))
