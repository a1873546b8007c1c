"""Verdicts outlive the process, and whatever lies in their folder does no harm."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapter_runtime import Note
from serving.lifecycle.remembering.remembered import Remembered
from serving.lifecycle.remembering.verdict_files import VerdictFiles

BAD = (Note("example_failed", "examples[0]: ünlike."), Note("probe", "x"))


def verdicts(folder: Path | None, **options: int) -> VerdictFiles:
    """As a process that has just started finds them."""
    return VerdictFiles(Remembered(folder), **options)


def files(folder: Path) -> list[Path]:
    """The files of verdicts."""
    return sorted((folder / "verdicts").iterdir())


@pytest.mark.parametrize("problems", ((), BAD))
def test_a_verdict_outlives_the_process(tmp_path: Path, problems: tuple[Note, ...]) -> None:
    """Accepted and refused ones alike; what was never checked is unknown."""
    verdicts(tmp_path).keep("key", problems)
    assert verdicts(tmp_path).find("key") == problems
    assert verdicts(tmp_path).find("other") is None


@pytest.mark.parametrize(
    "content",
    (
        b"",
        b"{",
        b"\xff\x00",
        b"[]",
        b'{"key":"other","value":[]}',
        b'{"key":"key","value":{}}',
        b'{"key":"key","value":[1]}',
        b'{"key":"key","value":[{"code":1,"message":"x"}]}',
        b'{"key":"key","value":[' + b"[" * 5000,
    ),
)
def test_what_is_no_verdict_is_unknown(tmp_path: Path, content: bytes) -> None:
    """Torn, foreign or of another shape: the version is checked anew, and kept again."""
    verdicts(tmp_path).keep("key", ())
    files(tmp_path)[0].write_bytes(content)
    anew = verdicts(tmp_path)
    assert anew.find("key") is None
    anew.keep("key", BAD)
    assert verdicts(tmp_path).find("key") == BAD


def test_the_longest_unused_are_forgotten(tmp_path: Path) -> None:
    """The folder stays bounded, and so does a draft that a killed process left."""
    first = verdicts(tmp_path, most=10)
    first.keep("used", ())
    for number in range(40):
        first.keep(f"key-{number}", ())
    draft = tmp_path / "verdicts" / ".left.json.1.1"
    draft.write_bytes(b"{")
    for path in (*files(tmp_path), draft):
        os.utime(path, (1, 1))
    assert verdicts(tmp_path).find("used") == ()
    verdicts(tmp_path, most=10).keep("one more", ())
    assert len(files(tmp_path)) == 10
    assert not draft.exists()
    assert verdicts(tmp_path).find("used") == ()


def test_memory_is_bounded_too() -> None:
    """Without a folder the oldest are forgotten all the same."""
    known = verdicts(None, most=3)
    for number in range(5):
        known.keep(f"key-{number}", ())
    assert [known.find(f"key-{number}") for number in range(5)] == [None, None, (), (), ()]


def test_a_folder_that_cannot_be_written_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Verdicts are then kept in memory."""
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    known = verdicts(blocked / "state")
    with caplog.at_level(logging.WARNING):
        known.keep("one", ())
        known.keep("two", BAD)
    assert (known.find("one"), known.find("two")) == ((), BAD)
    assert len(caplog.records) == 1
    assert "POLYHEAD_STATE_DIR" in caplog.text


def test_several_processes_share_the_folder(tmp_path: Path) -> None:
    """All write the same keys at once; every file is whole at every moment."""
    code = (
        "import sys; from pathlib import Path\n"
        "from adapter_runtime import Note\n"
        "from serving.lifecycle.remembering.remembered import Remembered\n"
        "from serving.lifecycle.remembering.verdict_files import VerdictFiles\n"
        "for _ in range(20):\n"
        "    for number in range(10):\n"
        "        one = VerdictFiles(Remembered(Path(sys.argv[1])))\n"
        "        one.keep(f'key-{number}', (Note('code', 'm' * 1000),))\n"
        "        assert one.find(f'key-{number}')\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    running = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert len(files(tmp_path)) == 10
    assert all(verdicts(tmp_path).find(f"key-{number}") for number in range(10))
