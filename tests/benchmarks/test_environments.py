"""The environments of other libraries, without building one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks.contenders import environments
from benchmarks.questions import http_infinity


def test_each_environment_is_pinned() -> None:
    """What was measured can be measured again."""
    loose = [
        f"{path.name}: {line}"
        for path in environments.REQUIREMENTS.glob("*.txt")
        for line in path.read_text().splitlines()
        if line and not line.startswith(("#", "-r ")) and "==" not in line
    ]
    assert environments.names()
    assert [] == loose


def test_a_change_of_an_included_file_builds_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark is of all that the environment is made from."""
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    (tmp_path / "peer.txt").write_text("-r base.txt\n")
    (tmp_path / "base.txt").write_text("one==1\n")
    before = environments.wanted("peer")
    (tmp_path / "base.txt").write_text("one==2\n")
    assert before != environments.wanted("peer")


def test_one_that_is_there_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No step runs when its mark says what is wanted."""
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setattr(environments, "torch_version", lambda: "1.0")
    (name, *_) = environments.names()
    environments.folder(name).mkdir()
    (environments.folder(name) / ".built").write_text(environments.wanted(name))
    monkeypatch.setattr(environments.subprocess, "run", lambda *_, **__: pytest.fail("built"))
    assert environments.build(name) is False


def test_infinity_s_is_made_on_first_use_or_the_report_says_why_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stranger runs one command; without a package index the others are still measured."""
    built: list[str] = []
    monkeypatch.setattr(environments, "build", built.append)
    assert {} == http_infinity.ready()
    assert ["infinity"] == built

    def fail(name: str) -> None:
        raise subprocess.CalledProcessError(1, ["pip"])

    monkeypatch.setattr(environments, "build", fail)
    assert "could not be built" in http_infinity.ready()["infinity"]
