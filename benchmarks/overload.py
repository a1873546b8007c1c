"""More than a server can do at once: bursts whose clients come again when told, or hang up."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from benchmarks.http_client import request
from benchmarks.http_load import text
from benchmarks.server import Server

Answered = tuple[int, float]
"""Status, and seconds from Retry-After; 0 where there is none."""


def bodies(count: int, texts: int, task: str, host: str, seed: int) -> list[bytes]:
    """Requests of lists of texts, no text twice."""
    chance = random.Random(seed)
    made = ([text(chance) for _ in range(texts)] for _ in range(count))
    return [request(host, f"/models/{task}", {"inputs": each}) for each in made]


async def ask(server: Server, content: bytes) -> Answered:
    """One request on a connection of its own."""
    place = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        writer.write(content)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
    finally:
        writer.close()
    told = head.partition(b"retry-after:")[2].split(b"\r")[0]
    return int(head.split()[1]), float(told or 0)


async def _come_again(server: Server, content: bytes, seen: dict[str, list[float]]) -> None:
    """Ask, and once more when told to."""
    began_s = time.monotonic()
    status, wait_s = await ask(server, content)
    seen["first"].append(status)
    if status == 200:
        seen["waited_s"].append(time.monotonic() - began_s)
    if status == 429:
        seen["told_s"].append(wait_s)
        await asyncio.sleep(wait_s)
        status, _ = await ask(server, content)
        seen["again"].append(status)


async def _stay_light(server: Server, contents: Sequence[bytes], seen: list[Answered]) -> None:
    for content in contents:
        began_s = time.monotonic()
        status, _ = await ask(server, content)
        seen.append((status, time.monotonic() - began_s))
        await asyncio.sleep(0.05)


async def _burst(server: Server, count: int, texts: int, seed: int) -> dict[str, float]:
    host = urlsplit(server.url).netloc
    seen: dict[str, list[float]] = {name: [] for name in ("first", "again", "told_s", "waited_s")}
    light: list[Answered] = []
    quiet = asyncio.ensure_future(
        _stay_light(server, bodies(1000, 1, "sentiment", host, seed + 1), light)
    )
    heavy = bodies(count, texts, "intent", host, seed)
    await asyncio.gather(*(_come_again(server, content, seen) for content in heavy))
    quiet.cancel()
    await asyncio.gather(quiet, return_exceptions=True)
    again = seen["again"]
    return {
        "requests": count,
        "shed": len(again),
        "median_told_s": statistics.median(seen["told_s"] or [0.0]),
        "longest_admitted_s": max(seen["waited_s"]),
        "late": sum(status == 504 for status in (*seen["first"], *again)),
        "served_when_told": sum(status == 200 for status in again) / max(1, len(again)),
        "light_requests": len(light),
        "light_shed": sum(status != 200 for status, _ in light),
        "light_p95_ms": 1000 * sorted(took_s for _, took_s in light)[int(0.95 * len(light))],
    }


def shed(server: Server, count: int, texts: int, seed: int) -> dict[str, float]:
    """One task's burst beside a light task: who is refused, and what became of who came again.

    Args:
        count: requests of the burst.
        texts: in each.
        seed: other texts than in other bursts, for equal rows would be shared.
    """
    return asyncio.run(_burst(server, count, texts, seed))


async def _hang_up(server: Server, count: int, texts: int, after_s: float, seed: int) -> None:
    host = urlsplit(server.url).netloc
    asking = [
        asyncio.ensure_future(ask(server, content))
        for content in bodies(count, texts, "intent", host, seed)
    ]
    await asyncio.sleep(after_s)
    for each in asking:
        each.cancel()
    await asyncio.gather(*asking, return_exceptions=True)


def _total(server: Server, name: str) -> float:
    return sum(server.metric(name).values())


def gone(server: Server, count: int, texts: int, after_s: float, seed: int) -> dict[str, float]:
    """Clients that hang up while their rows wait: how many of these rows run all the same.

    Args:
        count, texts, seed: as in `shed`.
        after_s: seconds that they wait.
    """
    before = _total(server, "polyhead_batch_rows_sum")
    asyncio.run(_hang_up(server, count, texts, after_s, seed))
    at_close = _total(server, "polyhead_batch_rows_sum")
    began_s = time.monotonic()
    while _total(server, "polyhead_requests_inside") and time.monotonic() < began_s + 60:
        time.sleep(0.01)
    idle_s = time.monotonic() - began_s
    time.sleep(0.3)
    ran = _total(server, "polyhead_batch_rows_sum")
    return {
        "rows_sent": count * texts,
        "rows_run_before": at_close - before,
        "rows_run_after": ran - at_close,
        "idle_after_s": idle_s,
    }
