"""What commands begin with: settings, strictness, and who is read when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from adapter_runtime import EngineConfig, EngineInfo, SettingsError
from serving.batch import command
from serving.errors import TaskFileError
from serving.opening import Opened, open_catalog, open_tasks
from serving.serve import banner
from serving.settings import load_settings
from serving.views import TaskView
from tests.serving.fake_engine import FakeEngine

FILE = """
backbone: ./base
tasks:
  - {name: a, adapter: ./a}
  - name: b
    versions: [{id: "1", adapter: ./b@1, weight: 10}, {id: "2", adapter: ./b@2, weight: 90}]
  - {name: c, versions: [{id: "1", adapter: ./c@1}, {id: "2", adapter: ./broken@2}]}
"""


class Engines:
    """Opens FakeEngines and keeps the last one."""

    def __init__(self) -> None:
        self.engine = FakeEngine()

    def __call__(self, backbone: str, config: EngineConfig) -> FakeEngine:
        return self.engine


@pytest.fixture
def engines() -> Engines:
    return Engines()


def opened(folder: Path, engines: Engines, **settings: Any) -> Opened:
    """As commands open a task file."""
    file = folder / "tasks.yaml"
    file.write_text(FILE)
    given = load_settings(tasks=str(file), **settings)
    return open_tasks(given, open_catalog(given), engines)


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path, engines: Engines) -> None:
    """Neither at start, nor when another task is."""
    found = opened(tmp_path, engines)
    states = {task.name: [str(one.state) for one in task.versions] for task in found.tasks}
    assert {state for each in states.values() for state in each} == {"pending"}
    found.at_once.resolve("a")
    assert [str(one.state) for one in found.tasks.find("b").versions] == ["pending", "pending"]


def test_one_version_answers_all_lines(tmp_path: Path, engines: Engines) -> None:
    """The heaviest one; of those without weights the newest that is sound."""
    found = opened(tmp_path, engines)
    assert {found.at_once.resolve("b").id for _ in range(20)} == {"v2"}
    assert found.at_once.resolve("c").id == "v1"


def test_strict_checks_every_version(tmp_path: Path, engines: Engines) -> None:
    """The refusal names the version; the engine is closed again."""
    with pytest.raises(TaskFileError, match=r"--strict\), 1 broken: c \(version 2\): x is missing"):
        opened(tmp_path, engines, strict=True)
    assert engines.engine.is_closed


def test_batch_reads_only_what_its_lines_name(
    tmp_path: Path, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand other tasks cost it nothing."""
    read: list[str] = []
    prepare = engines.engine.prepare
    monkeypatch.setattr(
        engines.engine, "prepare", lambda spec: [read.append(spec.name), prepare(spec)][1]
    )
    (tmp_path / "tasks.yaml").write_text(FILE)
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"task": "b", "inputs": "x"}\n{"task": "b", "inputs": "x y"}\n')
    settings = load_settings(tasks=str(tmp_path / "tasks.yaml"))
    assert command.batch(source, target, settings, opener=engines) == 0
    assert read == ["b"]
    assert [orjson.loads(line)["task"] for line in target.read_bytes().splitlines()] == ["b", "b"]


def test_allowed_sources_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the environment; they reach the engine."""
    monkeypatch.setenv("POLYHEAD_ALLOWED_SOURCES", "hf://org, /models ,")
    monkeypatch.setenv("POLYHEAD_MAX_SOURCE_BYTES", "1000")
    config = load_settings(cache_dir="/copies").engine_config()
    assert config.allowed_sources == ("hf://org", "/models")
    assert (config.max_source_bytes, config.cache_dir) == (1000, "/copies")


@pytest.mark.parametrize(
    ("name", "value"),
    (
        ("keep_versions", 0),
        ("poll_s", 0),
        ("quarantine_s", 0),
        ("quarantine_s", float("nan")),
        ("warm_tasks", -1),
        ("max_task_labels", 0),
        ("max_source_bytes", 0),
        ("load_threads", 0),
    ),
)
def test_settings_out_of_range_are_named(name: str, value: float) -> None:
    """One line, with the variable's name."""
    with pytest.raises(SettingsError, match=f"POLYHEAD_{name.upper()}"):
        load_settings(**{name: value})


def test_what_is_remembered_lies_in_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless told otherwise."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert load_settings().state_folder == Path("/cache/polyhead")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert load_settings().state_folder == Path("/home/me/.cache/polyhead")
    assert load_settings(state_dir="~/state").state_folder == Path("/home/me/state")


def test_the_banner_says_what_is_served_and_what_is_not() -> None:
    """Pending tasks with what they answer, rejected ones with the reason."""
    info = EngineInfo("base", "bert", "cpu", "float32", 512, 64)
    tasks = (
        TaskView("sentiment", "pending", kind="text-classification"),
        TaskView("topic", "ready", kind="text-classification"),
        TaskView("sick", "rejected", reason="x is missing."),
    )
    text = banner(tasks, info, "http://here")
    assert "serves 2 tasks on http://here" in text
    assert "1 pending: read and checked when first asked" in text
    assert "NOT served: sick: x is missing." in text
    assert "curl http://here/models/sentiment" in text
    assert "curl -X PUT http://here/tasks/NAME" in banner((), info, "http://here")
