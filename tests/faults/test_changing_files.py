"""Checkpoints that change under a running server: while they are read, and afterwards."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.faults.conftest import Variant
from tests.faults.site import Scores, Site, is_from, scores
from tests.running import ROOT

WEIGHTS = "adapter.safetensors"
NUM_READS = 25
REFUSALS = (424, 503)


@contextmanager
def rewritten(target: Path, contents: Sequence[Path]) -> Iterator[None]:
    """A process that rewrites a file in place for as long as the block lasts."""
    command = [sys.executable, "-m", "tests.faults.writer", str(target), *map(str, contents)]
    writer = subprocess.Popen(command, cwd=ROOT)
    try:
        yield
        assert writer.poll() is None, "The writer ended too soon."
    finally:
        writer.kill()
        writer.wait()


def test_a_file_rewritten_while_it_is_read_never_gives_a_wrong_answer(
    server: Site, variants: Sequence[Variant], tmp_path: Path
) -> None:
    """Each version answers as one of the file's whole contents, or says that it cannot."""
    folders = [shutil.copytree(variants[0].folder, tmp_path / name) for name in ("a", "b", "c")]
    shutil.copyfile(variants[1].folder / WEIGHTS, folders[1] / WEIGHTS)
    whole = [answered_alone(server, folder) for folder in folders[:2]]
    with rewritten(folders[2] / WEIGHTS, [folder / WEIGHTS for folder in folders[:2]]):
        pairs = [ask_twice(server, f"restless-{n}", folders[2]) for n in range(NUM_READS)]
    for pair in pairs:
        for answer in pair:
            assert answer.status_code in (200, *REFUSALS), answer.text
            if answer.status_code != 200:
                assert answer.json()["reasons"], answer.text
        given = [answer for answer in pair if answer.status_code == 200]
        assert any(all(is_from(each, one) for each in given) for one in whole), given
    statuses = Counter(answer.status_code for pair in pairs for answer in pair)
    assert len(statuses) > 1, statuses
    assert statuses[200], statuses


def answered_alone(server: Site, folder: Path) -> Scores:
    """What an adapter answers at rest; nothing of it stays in memory."""
    server.make("whole", "1", folder)
    found = {each["label"]: each["score"] for each in scores(server.ask("whole"))}
    assert server.client.delete("/tasks/whole").status_code == 204
    return found


def ask_twice(server: Site, task: str, folder: Path) -> list[httpx.Response]:
    """A new task's answer, and that after its weights were read again."""
    assert server.put(task, adapter=str(folder), id="1").status_code == 201
    first = server.ask(task)
    server.act(task, "1", "evict")
    return [first, server.ask(task)]


def test_a_checkpoint_corrupted_after_admission_is_refused_until_it_is_restored(
    server: Site, variants: Sequence[Variant], tmp_path: Path
) -> None:
    """Its weights are not what was admitted; the others do not notice."""
    folder = shutil.copytree(variants[2].folder, tmp_path / "spoiled")
    server.make("spoiled", "1", folder)
    server.make("sound", "1", variants[3].folder)
    corrupt(folder / WEIGHTS)
    assert is_from(server.ask("spoiled"), variants[2].answers[0])
    assert server.act("spoiled", "1", "evict").status_code == 200
    refused = server.ask("spoiled")
    assert refused.status_code in REFUSALS, refused.text
    assert "changed" in refused.json()["error"]
    until_reasoned = server.version("spoiled", "1")
    assert until_reasoned["state"] == "rejected"
    assert "source_changed" in {reason["code"] for reason in until_reasoned["reasons"]}
    assert is_from(server.ask("sound"), variants[3].answers[0])
    shutil.copyfile(variants[2].folder / WEIGHTS, folder / WEIGHTS)
    assert server.act("spoiled", "1", "preload").status_code == 200, server.show("spoiled")
    assert is_from(server.ask("spoiled"), variants[2].answers[0])


def corrupt(file: Path) -> None:
    """Other numbers in the middle of a file, its size unchanged."""
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4096] = bytes(reversed(data[middle : middle + 4096]))
    file.write_bytes(data)
