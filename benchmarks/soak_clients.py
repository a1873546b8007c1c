"""The soak's clients, and what happened to them."""

from __future__ import annotations

import random
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from benchmarks.server import Server
from benchmarks.soak_questions import Question, difference, known_questions
from benchmarks.variants import TEXTS, TOLERANCE

_CLIENTS = 6
_CHANGING = ("changing-0", "changing-1", "changing-2")
_AWAY = {404, 410, 429, 503}
"""What a task that comes and goes may answer."""
_LEAVE, _NOISE, _CHANGE = 0.08, 0.12, 0.35
"""Shares of clients' turns, added up: who leaves, who sends nonsense, who asks changing tasks."""
_NOISES = (
    b"\0" * 99,
    b"GET / HTTP/1.1\r\nA",
    b"POST /models/spam HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{",
)
_MOST_MIB, _MOST_FILES = 32.0, 16


@dataclass
class Soaked:
    """What happened.

    Args:
        asked: answers by protocol, and what else clients did.
        statuses: of all answers.
        changes: what became of tasks.
        problems: what must not be.
        mib, files: the process's memory and handles, once a second.
    """

    asked: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    def growth(self, samples: Sequence[float]) -> float:
        """From the middle third to the last; the first is for what grows to its size."""
        third = len(samples) // 3
        return statistics.median(samples[-third:]) - statistics.median(samples[third : 2 * third])

    def judge(self) -> None:
        """Say so if the process has grown."""
        for name, samples, most in (
            ("MiB", self.mib, _MOST_MIB),
            ("files", self.files, _MOST_FILES),
        ):
            if (grown := self.growth(samples)) > most:
                self.problems.append(f"{grown:.0f} more {name} in the last third")

    def report(self) -> dict[str, Any]:
        """All of it, short."""
        return {
            "seconds": len(self.mib),
            "asked": dict(self.asked),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "changes": dict(self.changes),
            "mib": [round(each, 1) for each in self.mib[:: max(1, len(self.mib) // 10)]],
            "mib_growth": round(self.growth(self.mib), 1),
            "files_growth": self.growth(self.files),
            "problems": self.problems[:20],
        }


class Soak:
    """The clients of one server.

    Args:
        server: is asked.
        variants: folders of the changing tasks.
        answers: what each answers to each text, scores by label.
    """

    def __init__(
        self, server: Server, variants: Sequence[Path], answers: Sequence[Sequence[Any]]
    ) -> None:
        self._server = server
        self._variants = variants
        self._answers = answers
        self._questions = known_questions(server)
        self._stop = threading.Event()
        self.soaked = Soaked()

    def run(self, seconds: float) -> Soaked:
        """Ask for so long."""
        work: list[Callable[[], None]] = [self._change]
        work += [lambda seed=seed: self._ask_on(seed) for seed in range(_CLIENTS)]  # type: ignore[misc]
        threads = [threading.Thread(target=self._guarded, args=(each,)) for each in work]
        for thread in threads:
            thread.start()
        for _ in range(round(seconds)):
            time.sleep(1)
            self.soaked.mib.append(self._server.memory_mib())
            self.soaked.files.append(self._server.num_files())
        self._stop.set()
        for thread in threads:
            thread.join()
        self._check_metrics()
        self.soaked.judge()
        return self.soaked

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self.soaked.problems.append(f"a client failed: {error!r}")
            raise

    def _check_metrics(self) -> None:
        failed = self._server.metric("polyhead_errors_total")
        for labels, count in failed.items():
            if "internal_error" in labels and count:
                self.soaked.problems.append(f"{count:.0f} internal errors")

    def _change(self) -> None:
        """Make, replace and delete tasks."""
        chance, number = random.Random(0), 0
        while not self._stop.wait(0.3):
            name, number = chance.choice(_CHANGING), number + 1
            if chance.random() < 0.2:
                status, _, content = self._server.call("DELETE", f"/tasks/{name}")
            else:
                entry = {"adapter": str(chance.choice(self._variants)), "id": f"v{number}"}
                status, _, content = self._server.call("PUT", f"/tasks/{name}", entry)
            self.soaked.changes[str(status)] += 1
            if status not in (200, 201, 204, 404):
                self.soaked.problems.append(f"{name} was changed: {status} {content}")

    def _ask_on(self, seed: int) -> None:
        chance = random.Random(seed)
        place = urlsplit(self._server.url)
        connection = HTTPConnection(place.hostname or "", place.port, timeout=60)
        while not self._stop.is_set():
            turn = chance.random()
            if turn < _LEAVE:
                self._leave(chance.choice(self._questions), chance.random() / 50)
            elif turn < _NOISE:
                self._make_noise(chance.choice(_NOISES))
            elif turn < _CHANGE:
                self._ask_changing(connection, chance)
            else:
                self._ask(connection, chance.choice(self._questions))
        connection.close()

    def _post(self, connection: HTTPConnection, path: str, body: Any) -> tuple[int, Any]:
        try:
            connection.request("POST", path, orjson.dumps(body))
            response = connection.getresponse()
            status, content = response.status, orjson.loads(response.read())
        except (OSError, HTTPException) as error:
            self.soaked.problems.append(f"{path}: {error!r}")
            connection.close()
            return 0, None
        self.soaked.statuses[status] += 1
        return status, content

    def _ask(self, connection: HTTPConnection, question: Question) -> None:
        status, found = self._post(connection, question.path, question.body)
        self.soaked.asked[question.protocol] += 1
        if status != 200:
            self.soaked.problems.append(f"{question.path}: {status} {found}")
        elif wrong := difference(found, question.expected):
            self.soaked.problems.append(f"{question.path} is wrong at {wrong}")

    def _ask_changing(self, connection: HTTPConnection, chance: random.Random) -> None:
        number, name = chance.randrange(len(TEXTS)), chance.choice(_CHANGING)
        status, found = self._post(connection, f"/models/{name}", {"inputs": TEXTS[number]})
        self.soaked.asked["changing"] += 1
        if status == 200:
            scores = {each["label"]: each["score"] for each in found[0]}
            if not any(_is_of(scores, answers[number]) for answers in self._answers):
                self.soaked.problems.append(f"{name} is wrong: {found}")
        elif status not in _AWAY:
            self.soaked.problems.append(f"{name}: {status} {found}")

    def _leave(self, question: Question, after_s: float) -> None:
        """Ask, and be gone before the answer."""
        body = orjson.dumps(question.body)
        head = f"POST {question.path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
        self._send(head.encode() + body, after_s)
        self.soaked.asked["left"] += 1

    def _make_noise(self, noise: bytes) -> None:
        self._send(noise, 0.0)
        self.soaked.asked["noise"] += 1

    def _send(self, data: bytes, after_s: float) -> None:
        place = urlsplit(self._server.url)
        with socket.create_connection((place.hostname or "", place.port or 80), 60) as client:
            client.sendall(data)
            time.sleep(after_s)


def _is_of(scores: dict[str, float], expected: dict[str, float]) -> bool:
    return all(abs(scores.get(label, 2.0) - score) < TOLERANCE for label, score in expected.items())
