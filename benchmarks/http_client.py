"""A lean load client: raw sockets, one request in flight per connection.

Reads a job as JSON from standard input and prints the result as JSON; run by `http_load` in a
process of its own, so that the client's Python does not share a lock with anything measured. The
processor time that it took itself stands in the result.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

import orjson
import uvloop


class Connection(asyncio.Protocol):
    """Sends the next request as soon as the last one is answered, until the time is over."""

    def __init__(self, requests: Iterator[bytes], until_s: float, closed: asyncio.Event) -> None:
        self.requests = requests
        self.until_s = until_s
        self.closed = closed
        self.latencies_s: list[float] = []
        self.num_errors = 0
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self.transport = transport
        self.send()

    def send(self) -> None:
        """Send the next request, or close when the time is up."""
        if time.perf_counter() >= self.until_s:
            self.transport.close()
            return
        self.sent_s = time.perf_counter()
        self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        """Take in an answer; send the next request when it is whole."""
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end].lower()
        start = head.index(b"content-length:") + 15
        length = int(head[start : head.find(b"\r", start) if b"\r" in head[start:] else None])
        if len(self.buffer) < end + 4 + length:
            return
        self.buffer = b""
        self.latencies_s.append(time.perf_counter() - self.sent_s)
        self.num_errors += b" 200 " not in head[:16]
        self.send()

    def connection_lost(self, error: Exception | None) -> None:
        """Count a broken connection as an error, and say that it ended."""
        self.num_errors += error is not None
        self.closed.set()


async def drive(
    host: str, port: int, connections: int, seconds: float, requests: Sequence[bytes]
) -> dict[str, float]:
    """Requests per second, latencies and errors of one round."""
    loop, source = asyncio.get_running_loop(), cycle(requests)
    started_s, began_cpu_s = time.perf_counter(), time.process_time()
    opened: list[Connection] = []
    for _ in range(connections):
        connection = Connection(source, started_s + seconds, asyncio.Event())
        await loop.create_connection(lambda made=connection: made, host, port)
        opened.append(connection)
    for connection in opened:
        await connection.closed.wait()
    took_s, cpu_s = time.perf_counter() - started_s, time.process_time() - began_cpu_s
    latencies_s = sorted(latency for each in opened for latency in each.latencies_s)
    return {
        "requests_per_s": len(latencies_s) / took_s,
        "p50_ms": 1000 * latencies_s[len(latencies_s) // 2],
        "p95_ms": 1000 * latencies_s[int(0.95 * len(latencies_s))],
        "p99_ms": 1000 * latencies_s[int(0.99 * len(latencies_s))],
        "num_requests": len(latencies_s),
        "num_errors": sum(each.num_errors for each in opened),
        "client_cores": cpu_s / took_s,
    }


def request(host: str, path: str, content: object) -> bytes:
    """One request as it goes over the wire."""
    body = orjson.dumps(content)
    lines = (
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*lines, "", "")).encode() + body


def posts(job: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """Paths and bodies: those that are given, or those of calls to tasks."""
    yield from job.get("posts", ())
    for task, inputs in job.get("calls", ()):
        yield f"{job.get('prefix', '')}/models/{task}", {"inputs": inputs}


def main() -> None:
    """Load the server as the command line says and print what was seen."""
    job = orjson.loads(sys.stdin.buffer.read())
    requests = [request(job["host"], path, content) for path, content in posts(job)]
    round_ = drive(job["host"], job["port"], job["connections"], job["seconds"], requests)
    print(orjson.dumps(uvloop.run(round_)).decode())


if __name__ == "__main__":
    main()
