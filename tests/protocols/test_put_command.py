"""`polyhead tasks put`: what is sent, and how the new version fares."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter_runtime import PolyheadError
from tests.protocols.shell import Shell


def test_put_sends_what_options_say(shell: Shell, tmp_path: Path) -> None:
    """Folders that exist are made absolute, what is no folder here stays."""
    result = shell(
        "put", "fresh", "--no-wait", "--adapter", str(tmp_path), "--head", "org/name",
        "--kind", "text-classification", "--label", "no", "--label", "yes", "--id", "7",
        "--weight", "2.5", "--shadow",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    entry = {
        "adapter": str(tmp_path),
        "head": "org/name",
        "kind": "text-classification",
        "labels": ["no", "yes"],
        "id": "7",
        "weight": 2.5,
        "shadow": True,
    }
    assert shell.asked == ("put", "fresh", entry, None)


FILE = """
adapter: {average: [./a, hf://o/n, ./absent, {stack: [./a]}], mode: a, weights: [1, 1, 1, 1]}
head: a
limits: {overflow: truncate}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    (tmp_path / "entry.yaml").write_text(FILE)
    return tmp_path


def test_paths_start_where_their_file_lies(shell: Shell, folder: Path) -> None:
    """Sources only: a mode or a label that is called like a folder stays."""
    here = str(folder / "a")
    result = shell("put", "fresh", str(folder / "entry.yaml"), "--no-wait", "--id", "2")
    assert result.exit_code == 0, result.output
    entry = shell.service.calls[-1][2]
    assert entry["adapter"] == {
        "average": [here, "hf://o/n", "./absent", {"stack": [here]}],
        "mode": "a",
        "weights": [1, 1, 1, 1],
    }
    assert (entry["head"], entry["id"], entry["limits"]) == (here, "2", {"overflow": "truncate"})


def test_paths_start_in_the_working_directory(
    shell: Shell, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of options, and those of standard input."""
    monkeypatch.chdir(folder)
    shell("put", "x", "--adapter", "a", "--no-wait")
    assert shell.service.calls[-1][2] == {"adapter": str(folder / "a")}
    shell("put", "x", "-", "--no-wait", typed="versions: [{id: '1', adapter: ./a}]")
    assert shell.service.calls[-1][2] == {"versions": [{"id": "1", "adapter": str(folder / "a")}]}


def test_entry_is_found_in_a_file_of_many(shell: Shell, tmp_path: Path) -> None:
    """By its name."""
    file = tmp_path / "tasks.yaml"
    file.write_text("tasks: [{name: a, adapter: hf://o/a}, {name: b, adapter: hf://o/b}]")
    shell("put", "b", str(file), "--no-wait")
    assert shell.asked == ("put", "b", {"adapter": "hf://o/b"}, None)
    with pytest.raises(PolyheadError, match="0 tasks named c; it has a, b"):
        shell("put", "c", str(file))


@pytest.mark.parametrize(
    ("text", "said"),
    (
        ("[", "not readable"),
        ("", "expected a task file entry"),
        ("[1]", "expected a task file entry"),
        ("adapter: {x: 2020-01-01}", ""),
        ("id: !!set {a}", "JSON cannot"),
    ),
)
def test_file_that_says_nothing_is_refused_here(
    shell: Shell, tmp_path: Path, text: str, said: str
) -> None:
    """Before anything is sent."""
    (tmp_path / "entry.yaml").write_text(text)
    if not said:
        assert shell("put", "x", str(tmp_path / "entry.yaml"), "--no-wait").exit_code == 0
        return
    for arguments in ((), ("--no-wait",)):
        with pytest.raises(PolyheadError, match=said):
            shell("put", "x", str(tmp_path / "entry.yaml"), *arguments)
    with pytest.raises(PolyheadError, match="Nothing to put"):
        shell("put", "x")
    assert shell.service.calls == []


def test_put_waits_until_the_version_is_ready(shell: Shell) -> None:
    """A line for each state, then the task."""
    shell.service.course = ["pending", "loading", "loading", "checking", "ready", "ready"]
    result = shell("put", "topic", "--adapter", "hf://o/n", "--id", "3")
    assert result.exit_code == 0, result.output
    said = [line for line in result.stderr.splitlines() if line.startswith("topic 3: ")]
    assert said == [f"topic 3: {word}" for word in ("pending", "loading", "checking", "ready")]


def test_put_of_a_rejected_version_says_why(shell: Shell) -> None:
    """Every reason, and exit 1."""
    shell.service.course = ["pending", "rejected", "rejected"]
    result = shell("put", "topic", "--adapter", "hf://o/n")
    assert result.exit_code == 1
    assert "[missing_tensor] x is missing." in result.stderr
    assert "[not_finite] y holds NaN." in result.stderr
