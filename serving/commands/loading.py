"""A load of requests from one process, and what it saw."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any
from urllib.parse import quote

import httpx2
import orjson

from adapter_runtime import Kind, SettingsError
from serving.access import Access
from serving.planning.inputs import MAKERS, WORDS
from serving.remote import Refused, Remote
from serving.unanswered import no_answer

_PATIENCE_S = 60.0
_POOL = 512
_BUSY_S = 0.05
_ANSWERING = frozenset({"ready", "pending"})
Call = tuple[str, bytes]


@dataclass
class Seen:
    """What came back.

    Args:
        latencies_s: of each answer, in seconds.
        refusals: how many answers had a status other than 200, by status.
        took_s: for all, in seconds.
        client_s: processor time of this process, in seconds.
        lost: why the server was asked no more before the time was over, if so.
    """

    latencies_s: list[float] = field(default_factory=list)
    refusals: Counter[int] = field(default_factory=Counter)
    took_s: float = 0.0
    client_s: float = 0.0
    lost: SettingsError | None = None

    def figures(self) -> dict[str, Any]:
        """Rates, latencies and refusals, for a table or JSON."""
        ordered = sorted(self.latencies_s)
        shares = (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99))
        found: dict[str, Any] = {"requests": len(ordered), "seconds": round(self.took_s, 2)}
        found["requests_per_s"] = round(len(ordered) / max(self.took_s, 1e-9), 1)
        for name, share in shares:
            index = min(len(ordered) - 1, int(share * len(ordered)))
            found[name] = round(1000 * ordered[index], 1) if ordered else None
        found["refused"] = {str(status): count for status, count in sorted(self.refusals.items())}
        found["client_cores"] = round(self.client_s / max(self.took_s, 1e-9), 2)
        return found


def calls_to(tasks: Sequence[Mapping[str, Any]], text: str | None, words: int) -> list[Call]:
    """Paths and bodies for tasks by turns; no text of ours comes twice.

    Args:
        tasks: as the server lists them.
        text: the one input, text or JSON; None makes texts.
        words: of each made text.
    """
    chance = random.Random(0)  # noqa: S311 - texts, no secrets
    calls = []
    for task in [tasks[number % len(tasks)] for number in range(max(_POOL, len(tasks)))]:
        inputs = _made(task, chance, words) if text is None else _given(text)
        path = f"/models/{quote(str(task['name']), safe='')}"
        calls.append((path, orjson.dumps({"inputs": inputs})))
    return calls


def _made(task: Mapping[str, Any], chance: random.Random, words: int) -> Any:
    make = MAKERS.get(Kind(str(task["kind"]))) if task.get("kind") else None
    chosen = chance.choices(WORDS, k=words)
    return " ".join(chosen) if make is None else make(chosen)


def _given(text: str) -> Any:
    try:
        return orjson.loads(text) if text.startswith(("{", "[")) else text
    except orjson.JSONDecodeError:
        return text


@dataclass(frozen=True)
class Load:
    """Who asks, and how.

    Args:
        access: where the server is, and how it is entered.
        connections: that ask side by side, each without a pause.
        seconds: how long.
    """

    access: Access
    connections: int
    seconds: float

    def run(self, calls: Sequence[Call]) -> Seen:
        """Ask, as long as the server answers. Blocks."""
        return asyncio.run(self._run(calls))

    async def _run(self, calls: Sequence[Call]) -> Seen:
        url, seen, source = self.access.address(), Seen(), cycle(calls)
        bounds = httpx2.Limits(max_connections=self.connections)
        async with httpx2.AsyncClient(
            base_url=url,
            headers=self.access.headers(),
            verify=self.access.trust(),
            timeout=_PATIENCE_S,
            limits=bounds,
        ) as client:
            began_s, ran_s = time.perf_counter(), time.process_time()
            until_s = began_s + self.seconds
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(self.connections):
                        group.create_task(_ask(client, source, until_s, seen))
            except* httpx2.HTTPError as errors:
                seen.lost = no_answer(url, errors.exceptions[0])
            seen.took_s = time.perf_counter() - began_s
            seen.client_s = time.process_time() - ran_s
        return seen


async def _ask(
    client: httpx2.AsyncClient, source: Iterator[Call], until_s: float, seen: Seen
) -> None:
    """One connection's requests until the time is over."""
    while (sent_s := time.perf_counter()) < until_s:
        path, body = next(source)
        response = await client.post(path, content=body)
        if response.status_code == httpx2.codes.OK:
            seen.latencies_s.append(time.perf_counter() - sent_s)
        else:
            seen.refusals[response.status_code] += 1
            await asyncio.sleep(_BUSY_S)


def known_tasks(remote: Remote, names: Sequence[str]) -> list[Mapping[str, Any]]:
    """The tasks of these names, their kinds known; without names all that answer. Blocks.

    Raises:
        Refused: the key may not see them.
        SettingsError: there is none, or one is unknown.
    """
    for task in _chosen(remote.tasks(), names):
        if task.get("kind") is None:
            with suppress(Refused):  # whatever it says to this, it is read then
                remote.predict(str(task["name"]), {"inputs": "a"})
    return _chosen(remote.tasks(), names)


def _chosen(tasks: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[Mapping[str, Any]]:
    known = {str(task["name"]): task for task in tasks}
    if unknown := [name for name in names if name not in known]:
        raise SettingsError(f"There is no task {unknown[0]}; there are {', '.join(known)}.")
    found = [known[name] for name in names] or [
        task for task in tasks if task.get("state") in _ANSWERING
    ]
    if not found:
        raise SettingsError("No task of that server answers; see polyhead tasks.")
    return found
