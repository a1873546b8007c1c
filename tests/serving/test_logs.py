"""Log lines: whose they are wherever they are written, and in which form."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import orjson
import pytest

from adapter_runtime import Arrays, Encoded, RunResult, TaskVersion, WorkItem
from serving.logs import (
    About,
    AboutBatch,
    JsonFormatter,
    RequestIdFilter,
    TextFormatter,
    set_up_logs,
)
from tests.serving.conftest import Server
from tests.serving.fake_engine import FakeEngine

log = logging.getLogger("tests.logs")


class Talkative(FakeEngine):
    """Says what it does, from whatever thread."""

    def encode(self, version: TaskVersion, inputs: Any, parameters: Mapping[str, Any]) -> Encoded:
        log.warning("encodes")
        return super().encode(version, inputs, parameters)

    def run(self, items: list[WorkItem], lanes: int | None = None) -> RunResult:  # type: ignore[override]
        log.warning("runs")
        return super().run(items, lanes)

    def decode(self, version: TaskVersion, encoded: Encoded, outcomes: list[Arrays]) -> Any:  # type: ignore[override]
        log.warning("decodes")
        return super().decode(version, encoded, outcomes)


@pytest.fixture
def engine() -> Talkative:
    return Talkative()


@pytest.fixture
def written() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Gives what the root logger has written, as JSON lines."""
    stream = io.StringIO()
    writer = logging.StreamHandler(stream)
    writer.setFormatter(JsonFormatter())
    writer.addFilter(RequestIdFilter())
    root = logging.getLogger()
    root.addHandler(writer)
    level = root.level
    root.setLevel("INFO")
    yield lambda: [orjson.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(writer)
    root.setLevel(level)


Written = Callable[[], list[dict[str, Any]]]


def ask(server: Server, **options: Any) -> httpx.Response:
    """A request with an id and a key in its headers."""
    headers = {"x-request-id": "mine-1", "authorization": "Bearer s3cret", "x-api-key": "s3cret"}
    return server.post("/models/topic", headers=headers, **options)


@pytest.mark.parametrize("inputs", ("a b", ["a b", "c"]))
def test_threads_log_under_the_request_that_they_work_for(
    inputs: object, server: Server, written: Written
) -> None:
    """Encoding, the forward and decoding, on workers and on the lane."""
    assert ask(server, json={"inputs": inputs}).status_code == 200
    found = {(line["message"], line["request_id"]) for line in written()}
    assert {(word, "mine-1") for word in ("encodes", "runs", "decodes")} <= found


def test_a_thread_s_lines_are_nobody_s_again_afterwards(written: Written) -> None:
    """A line between two requests must not bear the name of the first."""
    with About("first", "f" * 32):
        log.info("inside")
    log.info("outside")
    inside, outside = written()
    assert (inside["request_id"], inside["trace_id"]) == ("first", "f" * 32)
    assert (outside["request_id"], "trace_id" in outside) == ("-", False)


def test_a_batch_s_lines_name_its_first_requests(written: Written) -> None:
    """Each once, and no endless line; a request's own name comes before its batch's."""
    ids = ["a", "a", "", "b", "c", "d", "e"]
    with AboutBatch(lambda: ids):
        log.info("many")
        ids[3:] = []
        log.info("one")
        with About("z"):
            log.info("own")
    assert [line["request_id"] for line in written()] == ["a,b,c,d,…", "a", "z"]


@pytest.mark.parametrize("name", ("a\nb ERROR forged", "\x1b[2J", "a\u2028b", 'say "x"'))
def test_what_is_asked_begins_no_line_of_its_own(name: str) -> None:
    """As text too, where members stand behind the message: nobody forges a line or a colour."""
    record = logging.makeLogRecord({"msg": "asked %s", "args": (name,), "request_id": "r"})
    record.task, record.tokens = name, 7
    line = TextFormatter().format(record)
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert line.endswith(f"task={json.dumps(name)} tokens=7")


def test_access_line_says_who_asked_what_and_how_it_went(
    make_server: Callable[..., Server], written: Written
) -> None:
    """In JSON members of its own; keys and texts stay out of the log."""
    ask(make_server(access_log=True), json={"inputs": ["a b", "c secret-text"]})
    (line,) = [each for each in written() if each["logger"] == "serving.protocols.wire"]
    assert line["message"] == "POST '/models/topic'"
    assert line["request_id"] == "mine-1"
    assert (line["task"], line["version"], line["status"]) == ("topic", "v1", 200)
    assert (line["tokens"], "key" in line) == (4, False)
    assert 0 <= line["queue_ms"] <= line["took_ms"]
    assert "s3cret" not in str(written())
    assert "secret-text" not in str(written())


def test_access_line_of_a_refused_request_names_its_task(
    make_server: Callable[..., Server], written: Written
) -> None:
    """What has no answer has no version and no tokens."""
    server = make_server(access_log=True)
    server.post("/models/topic", json={"inputs": ""})
    (line,) = [each for each in written() if each["logger"] == "serving.protocols.wire"]
    assert (line["task"], line["status"], "version" in line) == ("topic", 422, False)


@pytest.mark.parametrize("is_plain", (False, True))
def test_terminals_get_colours_unless_they_want_none(
    is_plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_COLOR is respected; the line stays readable either way."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1") if is_plain else monkeypatch.delenv("NO_COLOR", False)
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    near, far = pty.openpty()
    with os.fdopen(far, "w") as terminal, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", terminal)
        set_up_logs("auto", "INFO")
        log.warning("Look here", extra={"status": 200})
        text = os.read(near, 4096).decode()
    root.handlers[:] = before
    root.setLevel(level)
    os.close(near)
    assert ("\x1b[3" in text) is not is_plain
    assert "Look here" in text
    assert "WARNING" in text
