"""Load over HTTP: texts of ordinary length, calls to many tasks, and the client in its process."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson

from adapter_runtime import Kind
from serving.opening import Opened
from serving.planning.inputs import MAKERS, WORDS

Call = tuple[str, Any]


def text(chance: random.Random) -> str:
    """A text of ordinary length: mostly short, sometimes long."""
    length = min(120, max(3, round(chance.lognormvariate(2.9, 0.6))))
    return " ".join(chance.choices(WORDS, k=length))


def inputs(kind: Kind, chance: random.Random) -> Any:
    """One input for a kind of task, all of whose texts together are of ordinary length."""
    make = MAKERS.get(kind, " ".join)
    return make(text(chance).split())


def mixed_calls(opened: Opened, count: int, seed: int = 7) -> list[Call]:
    """Calls to all tasks in random order; no text twice, for equal rows would be shared."""
    chance = random.Random(seed)
    versions = [opened.at_once.resolve(task.name) for task in opened.tasks]
    picked = [chance.choice(versions) for _ in range(count)]
    return [(version.task, inputs(version.kind, chance)) for version in picked]


def load(
    url: str,
    connections: int,
    seconds: float,
    calls: Sequence[Call] = (),
    posts: Sequence[tuple[str, Any]] = (),
) -> dict[str, Any]:
    """One round of the client in a process of its own.

    Args:
        calls: tasks and inputs, asked by turns.
        posts: paths and whole bodies, for servers with routes of their own.
    """
    place = urlsplit(url)
    job = {"host": place.hostname, "port": place.port, "connections": connections}
    content = orjson.dumps({**job, "seconds": seconds, "calls": calls, "posts": posts})
    command = [sys.executable, "-m", "benchmarks.http_client"]
    done = subprocess.run(command, input=content, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = orjson.loads(done.stdout)
    return result
