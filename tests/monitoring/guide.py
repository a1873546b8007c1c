"""The operations guide, taken apart."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import lru_cache

from tests.running import ROOT

GUIDE = ROOT / "docs" / "operations.md"


@lru_cache(maxsize=1)
def text() -> str:
    """All of it."""
    return GUIDE.read_text(encoding="utf-8")


def runbook() -> dict[str, str]:
    """What stands under each alert."""
    parts = re.split(r"^### (.*)$", text().partition("\n## Alerts\n")[2], flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def blocks(title: str, language: str = "sh") -> list[str]:
    """The code under a heading."""
    (found,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", text(), flags=re.M | re.S)
    return re.findall(rf"^```{language}\n(.*?)^```$", found, flags=re.M | re.S)


def commands(program: str) -> Iterator[list[str]]:
    """Every command of a program in blocks of code and between backticks, as words."""
    code = "\n".join(re.findall(r"^```sh\n(.*?)^```$", text(), flags=re.M | re.S))
    prose = re.sub(r"^```.*?^```$", "", text(), flags=re.M | re.S)
    for line in (*code.splitlines(), *re.findall(r"`([^`\n]+)`", prose)):
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
        lexer.commenters, lexer.whitespace_split = "#", True
        for command in _split(list(lexer)):
            if command[:1] == [program] and command[1:]:
                yield command[1:]


def _split(words: list[str]) -> Iterator[list[str]]:
    """At pipes, and at whatever else ends a command."""
    command: list[str] = []
    for word in words:
        if set(word) <= set("|&;"):
            yield command
            command = []
        else:
            command.append(word)
    yield command
