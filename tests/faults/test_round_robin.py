"""Tasks come, change and go at two servers on one catalog, behind a proxy that takes turns."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from benchmarks.variants import TEXTS
from tests.faults.conftest import Variant
from tests.faults.round_robin import NGINX, round_robin
from tests.faults.site import Scores, Site, is_from, until

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is missing; only root can install it")
NUM_CLIENTS, NUM_ROUNDS = 6, 8


@dataclass
class Crowd:
    """Clients that ask whatever tasks there are.

    Args:
        url: of the proxy.
        expected: answers to each of `TEXTS`, by task and version.
    """

    url: str
    expected: dict[tuple[str, str], Sequence[Scores]]
    tasks: list[str] = field(default_factory=list)
    leaving: set[str] = field(default_factory=set)
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def ask(self, number: int) -> None:
        """One client, until told to stop."""
        with httpx.Client(base_url=self.url, timeout=60) as client:
            while not self.stop.is_set():
                for task in list(self.tasks):
                    number += 1
                    self._ask(client, task, number % len(TEXTS))
                time.sleep(0.002)

    def _ask(self, client: httpx.Client, task: str, text: int) -> None:
        answer = client.post(f"/models/{task}", json={"inputs": TEXTS[text]})
        version = answer.headers.get("x-task-version", "")
        if answer.status_code == 404 and task in self.leaving:
            return
        self.seen[task, version] += 1
        if not is_from(answer, self.expected.get((task, version), [{}] * len(TEXTS))[text]):
            self.failures.append(f"{task} {version}: {answer.status_code} {answer.text}")


@contextmanager
def asking(crowd: Crowd) -> Iterator[Crowd]:
    """The crowd asks during the block."""
    with ThreadPoolExecutor(NUM_CLIENTS) as threads:
        clients = [threads.submit(crowd.ask, number) for number in range(NUM_CLIENTS)]
        try:
            yield crowd
        finally:
            crowd.stop.set()
        for client in clients:
            client.result()


def put(operator: httpx.Client, crowd: Crowd, task: str, id: str, variant: Variant) -> None:
    """Give a task a version at whichever server's turn it is; it is asked from then on."""
    crowd.expected[task, id] = variant.answers
    done = operator.put(f"/tasks/{task}", json={"adapter": str(variant.folder), "id": id})
    assert done.status_code in (200, 201), done.text
    pinned = operator.post(f"/models/{task}", params={"version": id}, json={"inputs": TEXTS[0]})
    assert is_from(pinned, variant.answers[0]), pinned.text
    if task not in crowd.tasks:
        crowd.tasks.append(task)


def answers_at(sites: Sequence[Site], task: str, variant: Variant) -> bool:
    """Whether every server gives the variant's answer by itself."""
    return all(is_from(site.ask(task), variant.answers[0]) for site in sites)


def test_no_answer_is_wrong_and_no_request_fails_while_tasks_change(
    server: Site, other: Site, variants: Sequence[Variant], tmp_path: Path
) -> None:
    """A task is asked as soon as it was put, whoever's turn it is, until it is deleted."""
    sites = (server, other)
    addresses = [site.client.base_url.netloc.decode() for site in sites]
    with (
        round_robin(addresses, tmp_path) as url,
        httpx.Client(base_url=url, timeout=60) as operator,
        asking(Crowd(url, {})) as crowd,
    ):
        for number in range(NUM_ROUNDS):
            task = f"turn-{number}"
            first, second = (variants[(number + each) % len(variants)] for each in range(2))
            put(operator, crowd, task, "1", first)
            put(operator, crowd, task, "2", second)
            until(lambda task=task, last=second: answers_at(sites, task, last))
            if number >= 2:
                old = crowd.tasks[0]
                crowd.leaving.add(old)
                assert operator.delete(f"/tasks/{old}").status_code == 204
                crowd.tasks.remove(old)
                until(lambda old=old: all(site.ask(old).status_code == 404 for site in sites))
    assert not crowd.failures, crowd.failures[:5]
    assert {id for _, id in crowd.seen} == {"1", "2"}
    assert min(crowd.seen.values()) > 0
