"""`polyhead top` on a terminal and on a pipe."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from serving.commands.measured import Between, look
from tests.commands.conftest import Secured
from tests.commands.started import Started, polyhead, started_server
from tests.commands.terminal import terminal

_BUCKETS = """
polyhead_start_time_seconds {start}
polyhead_request_seconds_bucket{{task="a",le="1.0"}} {first}
polyhead_request_seconds_bucket{{task="a",le="2.0"}} {second}
polyhead_request_seconds_bucket{{task="a",le="+Inf"}} {second}
polyhead_requests_total{{task="a",status="200"}} {second}
polyhead_requests_total{{task="b",status="200"}} 7
"""


def between(start: int, first: int, second: int) -> Between:
    """Ten seconds after 4 requests up to a second and 6 up to two."""
    before = look(_BUCKETS.format(start=1, first=4, second=6), 0.0)
    return Between(before, look(_BUCKETS.format(start=start, first=first, second=second), 10.0))


def test_rates_and_quantiles_are_of_the_time_between_two_looks() -> None:
    """Of 10 new requests 5 took a second at most."""
    seen = between(1, 9, 16)
    assert seen.rate("polyhead_requests_total", task="a") == 1.0
    assert seen.rate("polyhead_requests_total") == 1.0
    assert seen.quantile("polyhead_request_seconds", 0.5, task="a") == 1.0
    assert seen.quantile("polyhead_request_seconds", 0.9, task="a") == pytest.approx(1.8)
    assert seen.quantile("polyhead_request_seconds", 0.5, task="b") is None


def test_server_that_began_anew_counts_from_nothing() -> None:
    """Even where it has answered more than before already."""
    assert between(2, 10, 20).rate("polyhead_requests_total", task="a") == 2.0


def test_top_draws_tasks_fits_the_window_and_ends_on_q(plain: Started) -> None:
    """The terminal is left as it was."""
    with terminal("top", "--every", "0.2", "--url", plain.url) as shown:
        assert "req/s" in shown.shows("topic")
        polyhead("predict", "topic", "a", "--url", plain.url)
        shown.resize(60, 10)
        assert "Where" not in shown.shows("… and 2 more")
        shown.press("q")
        assert shown.ends() == 0
        assert shown.written.endswith(b"\x1b[?25h\x1b[?1049l")
        assert b"Traceback" not in shown.written


def test_top_ends_on_ctrl_c_without_a_word(plain: Started) -> None:
    """Exit 0: that is how one leaves it."""
    with terminal("top", "--every", "0.2", "--url", plain.url) as shown:
        shown.shows("topic")
        shown.press("\x03")
        assert shown.ends() == 0
        assert b"Traceback" not in shown.written


def test_top_outlives_its_server(tmp_path: Path) -> None:
    """It says that nobody answers, and keeps what it saw."""
    with (
        started_server(tmp_path, {}) as server,
        terminal("top", "--every", "0.2", "--url", server.url) as shown,
    ):
        shown.shows("topic")
        server.process.send_signal(signal.SIGKILL)
        assert "topic" in shown.shows("No answer since")
        shown.press("q")
        assert shown.ends() == 0


def test_top_on_a_pipe_looks_once(plain: Started) -> None:
    """Plain text, all tasks."""
    done = polyhead("top", "--every", "0.2", "--url", plain.url)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert all(task in done.stdout for task in ("topic", "spam", "echo", "req/s"))


def test_top_with_a_key_shows_what_the_key_may_see(secured: Secured) -> None:
    """Without the action metrics: tasks; without a key nothing."""
    ask = ["top", "--every", "0.2", "--url", secured.url, "--cacert", secured.authority.file]
    narrow = polyhead(*ask, "--key", secured.keys.secrets["topics"])
    assert "keys with the action metrics" in narrow.stdout
    assert "spam" not in narrow.stdout
    assert "req/s" in polyhead(*ask, "--key", secured.keys.secrets["operator"]).stdout
    keyless = polyhead(*ask)
    assert keyless.returncode == 1
    assert "A key is needed here" in keyless.stderr
