"""What the Dockerfile says, instruction by instruction."""

from __future__ import annotations

import json
import re
import shlex
from typing import NamedTuple

from tests.running import ROOT

DOCKERFILE = ROOT / "Dockerfile"


class Instruction(NamedTuple):
    """One instruction: the stage it stands in (0 is before the first), its word, and the rest."""

    stage: int
    word: str
    rest: str


def instructions(text: str) -> list[Instruction]:
    """All instructions; lines that go on are joined, comments are left out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found: list[Instruction] = []
    stage = 0
    for line in joined.splitlines():
        word, _, rest = line.strip().partition(" ")
        stage += word == "FROM"
        found.append(Instruction(stage, word, rest.strip()))
    return found


INSTRUCTIONS = instructions(DOCKERFILE.read_text(encoding="utf-8"))
LAST = max(instruction.stage for instruction in INSTRUCTIONS)


def last(word: str) -> list[str]:
    """What follows a word in the stage that becomes the image."""
    return [rest for stage, found, rest in INSTRUCTIONS if (stage, found) == (LAST, word)]


def arguments() -> dict[str, str]:
    """The build arguments with a default."""
    pairs = (rest.partition("=") for _, word, rest in INSTRUCTIONS if word == "ARG")
    return {name: value.strip('"') for name, is_set, value in pairs if is_set}


def pairs(word: str) -> dict[str, str]:
    """What `ENV` or `LABEL` sets in the image."""
    parts = (part for rest in last(word) for part in shlex.split(rest))
    return dict(part.split("=", 1) for part in parts)


def command(word: str) -> list[str]:
    """The exec form of `ENTRYPOINT`, `CMD` or `HEALTHCHECK`."""
    (rest,) = last(word)
    parsed: list[str] = json.loads(re.sub(r"^[^\[]*", "", rest, count=1))
    return parsed
