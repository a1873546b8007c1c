"""The command line: exit codes, one-line errors, no torch before it is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from adapter_runtime import PolyheadError
from serving import cli, serve
from serving.batch import command
from serving.check import (
    check,
    parse_options,
    read_kind,
    report_json,
    report_text,
    spec_of,
)
from serving.errors import TaskFileError
from serving.settings import Settings, load_settings
from tests.serving.fake_engine import open_fake

ROOT = Path(__file__).parents[2]


def settings(folder: Path, **more: object) -> Settings:
    """Settings with a task file of good and broken tasks."""
    file = folder / "tasks.yaml"
    file.write_text(
        "backbone: ./base\ntasks: [{name: a, adapter: ./a}, {name: bad, adapter: ./broken}]"
    )
    return load_settings(tasks=str(file), **more)


def run_cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "serving.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_help_loads_no_torch() -> None:
    """Help is instant, and a thin ingress stays thin."""
    code = (
        "import sys, serving.cli, serving.app, serving.serve\n"
        "import serving.batch.command, serving.check\n"
        "assert not {'torch', 'transformers', 'ray'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in ("serve", "batch", "check", "tasks", "tasks put", "tasks traffic"):
        assert CliRunner().invoke(cli.app, [*name.split(), "--help"]).exit_code == 0


NOTHING_STARTED = (
    ("serve",),
    ("serve", "--tasks", "/nowhere"),
    ("batch", "--input", "/nowhere.jsonl", "--output", "out.jsonl", "--tasks", "x"),
    ("check", "/nowhere"),
    ("check", "/nowhere", "--backbone", "x", "--option", "pooling"),
    ("tasks", "--url", "http://127.0.0.1:9"),
    ("tasks", "--url", "http://127.0.0.1:9", "put", "x", "--adapter", "hf://o/n"),
    ("tasks", "show", "x", "--url", "http://127.0.0.1:9"),
    ("tasks", "put", "x"),
    ("tasks", "put", "x", "/nowhere.yaml"),
    ("tasks", "--url", "file:///etc/passwd"),
)


@pytest.mark.parametrize("arguments", NOTHING_STARTED)
def test_what_cannot_start_is_one_line_and_exit_2(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback, the remedy in the line."""
    monkeypatch.setattr(sys, "argv", ["polyhead", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("polyhead: ")
    assert "\n" not in error


def test_absent_backbone_is_refused_before_serving(tmp_path: Path) -> None:
    """Its own error, whole."""
    with pytest.raises(PolyheadError, match="no such folder"):
        serve.serve(settings(tmp_path, backbone="absent", port=0), open_fake)


def test_strict_refuses_broken_tasks(tmp_path: Path) -> None:
    """Every broken task is listed."""
    with pytest.raises(TaskFileError, match=r"--strict.*bad: x is missing"):
        serve.serve(settings(tmp_path, strict=True, port=0), open_fake)


def batch(tmp_path: Path, lines: str, **options: object) -> tuple[int, list[dict[str, object]]]:
    """Failed lines and output lines of a batch run."""
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(lines, encoding="utf-8", errors="surrogateescape")
    num_failed = command.batch(source, target, settings(tmp_path), opener=open_fake, **options)  # type: ignore[arg-type]
    assert list(tmp_path.glob(".*")) == []
    return num_failed, [orjson.loads(line) for line in target.read_bytes().splitlines()]


LINES = """{"task": "a", "inputs": "one two three", "id": 7}
{"task": "a", "inputs": ["x", "x y"]}

{"task": "none", "inputs": "x"}
{"task": "bad", "inputs": "x"}
{"inputs": "x"}
{"task": "a"}
{"task": "a", "inputs": ""}
{"task": "a", "inputs": ["x", ""]}
not json
[1]
{"task": "a", "inputs": "x x x x x x x x x x x x x"}
{"task": "a", "inputs": "x", "parameters": {"what": 1}}
{"task": "a", "inputs": "last"}
"""


def test_batch_keeps_order_and_spoils_no_neighbour(tmp_path: Path) -> None:
    """Each bad line gets its own error, all others their answer."""
    num_failed, lines = batch(tmp_path, LINES)
    assert num_failed == 10
    assert lines[0] == {"task": "a", "outputs": [{"label": "a", "score": 3.0}], "id": 7}
    assert lines[1]["outputs"] == [[{"label": "a", "score": 1.0}], [{"label": "a", "score": 2.0}]]
    assert lines[-1]["outputs"] == [{"label": "a", "score": 1.0}]
    codes = [line["error"]["code"] for line in lines if "error" in line]  # type: ignore[index]
    assert codes[:2] == ["unknown_task", "rejected_adapter"]
    assert codes[2:] == ["invalid_input"] * 6 + ["row_failed", "invalid_input"]
    assert "inputs[1]" in str(lines[7]["error"])


def test_batch_raw_adds_what_the_head_computed(tmp_path: Path) -> None:
    """Beside the outputs; lists for lists; the default task is used."""
    num_failed, lines = batch(
        tmp_path, '{"inputs": "a b"}\n{"inputs": ["a", "a b"]}', task="a", raw=True
    )
    assert num_failed == 0
    assert lines[0] == {"task": "a", "outputs": [{"label": "a", "score": 2.0}], "logits": [2]}
    assert lines[1]["logits"] == [[1], [2]]


@pytest.mark.parametrize("ending", (".csv", ".parquet"))
def test_batch_reads_and_writes_tables(tmp_path: Path, ending: str) -> None:
    """Columns make inputs; answers are JSON in a column."""
    pytest.importorskip("pyarrow")
    from pyarrow import csv, parquet

    source, target = tmp_path / "in.csv", tmp_path / f"out{ending}"
    source.write_text('task,text,choices\na,one two,\na,,\na,x,"[broken"\n')
    if ending == ".parquet":
        parquet.write_table(csv.read_csv(source), tmp_path / "in.parquet")
        source = tmp_path / "in.parquet"
    assert command.batch(source, target, settings(tmp_path), opener=open_fake) == 2
    read = csv.read_csv if ending == ".csv" else parquet.read_table
    rows = read(target).to_pylist()
    assert orjson.loads(rows[0]["outputs"]) == [{"label": "a", "score": 2.0}]
    assert [row["error_code"] for row in rows[1:]] == ["invalid_input"] * 2


def test_batch_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An output appears whole or not at all."""
    monkeypatch.setattr(command.Scorer, "score", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        batch(tmp_path, '{"task": "a", "inputs": "x"}')
    assert not (tmp_path / "out.jsonl").exists()
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize(("name", "is_accepted"), (("fine", True), ("broken", False)))
def test_check_reports(tmp_path: Path, name: str, is_accepted: bool) -> None:
    """As JSON and for people."""
    report = check(str(tmp_path / name), (), load_settings(backbone="base"), open_fake)
    content = report_json(report)
    assert content["accepted"] is is_accepted
    assert bool(content["problems"]) is not is_accepted
    assert ("accepted" in report_text(name, report)) is is_accepted


def test_a_kind_is_checked_for_by_name() -> None:
    """What a checkpoint answers by itself may not be what the task shall answer."""
    assert spec_of("./folder", {}, read_kind("feature-extraction")).kind == "feature-extraction"
    with pytest.raises(TaskFileError, match=r"--kind nothing.*feature-extraction"):
        read_kind("nothing")


def test_check_options_reach_the_task() -> None:
    """Options are read as a task file's."""
    spec = spec_of("./folder", parse_options(["normalize=true"]))
    assert spec.options == {"normalize": True}


@pytest.mark.parametrize("value", ("[", "!!binary x", "2020-13-45", "[" * 3000, "!!python/name:x"))
def test_options_that_are_no_yaml_are_told_so(value: str) -> None:
    """Whatever the parser makes of it."""
    with pytest.raises(TaskFileError, match="not readable"):
        parse_options([f"pooling={value}"])


@pytest.mark.parametrize("tree", ("{stack: [", "{stack: [2020-13-45]}", "{stack: " + "[" * 3000))
def test_compositions_that_are_no_yaml_are_told_so(tree: str) -> None:
    """Also those too long for a file's name."""
    with pytest.raises(TaskFileError, match="no composition"):
        spec_of(tree, {})


def test_check_options_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As all other options do; several are separated by spaces."""
    monkeypatch.setenv("POLYHEAD_OPTION", "normalize=true pooling")
    result = CliRunner().invoke(cli.app, ["check", "/nowhere", "--backbone", "x"])
    assert "--option pooling: write name=value" in str(result.exception)
