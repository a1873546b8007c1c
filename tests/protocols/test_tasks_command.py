"""`polyhead tasks`: what is sent, what is printed, how it ends."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from typer.testing import CliRunner

from adapter_runtime import Note, PolyheadError
from serving.access import Access
from serving.cli import app
from serving.commands.versions import patiently
from serving.errors import DeadlineExceeded
from serving.remote import Refused, Remote
from tests.protocols.fake_service import TOPIC
from tests.protocols.shell import Shell
from tests.running import free_port


def test_list_reads_well_in_80_columns(shell: Shell) -> None:
    """A line for each task, and below it why one does not answer."""
    sick = replace(TOPIC, name="x" * 90, state="rejected", reason="head: [MASK] has no row.")
    shell.service.views["sick"] = sick
    printed = shell().output.splitlines()
    assert all(len(line) <= 80 for line in printed[:-1])
    assert any("topic" in line and "ready" in line and "device" in line for line in printed)
    assert printed[-1].endswith("head: [MASK] has no row.")


def test_list_on_a_narrow_terminal_leaves_columns_out(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than to break all words."""
    monkeypatch.setenv("COLUMNS", "40")
    printed = shell().output.splitlines()
    assert printed[0].split() == ["Task", "State", "Where"]
    assert ["topic", "ready", "device"] in [line.split() for line in printed]


def test_list_and_task_are_printed_as_json(shell: Shell) -> None:
    """For programs, wherever the option stands."""
    for arguments in (("--json",), ("list", "--json"), ("--json", "list")):
        listed = json.loads(shell(*arguments).output)["tasks"]
        assert [task["name"] for task in listed] == ["topic", "new"]
    for arguments in (("--json", "show", "topic"), ("show", "topic", "--json")):
        assert json.loads(shell(*arguments).output)["etag"] == "e0"


def test_options_of_the_server_may_stand_behind_the_sub_command(shell: Shell) -> None:
    """There they win over those before it."""
    nowhere, key = f"http://127.0.0.1:{free_port()}", ("--key", "k")
    for words in (("list",), ("show", "topic"), ("pin", "topic", "1"), ("delete", "topic")):
        done = CliRunner().invoke(
            app, ["tasks", "--url", nowhere, *words, "--url", shell.url, *key]
        )
        assert done.exit_code == 0, words


def test_task_is_shown_with_its_versions_and_reasons(shell: Shell) -> None:
    """Traffic, refusals with their codes, events."""
    printed = shell("show", "topic").output
    assert "25 %" in printed
    assert "50.2" in printed
    assert "2: [not_finite] y holds NaN." in printed
    assert "ready 1" in printed
    assert "retired   0" in printed
    assert all(len(line) <= 80 for line in printed.splitlines())


@pytest.mark.parametrize("action", ("promote", "pin", "unpin", "preload", "evict", "rollback"))
def test_actions_reach_the_version(shell: Shell, action: str) -> None:
    """Each is a sub-command."""
    assert shell(action, "topic", "1").exit_code == 0
    assert shell.asked == (action, "topic", "1", None)


def test_preload_is_asked_for_until_it_is_done(shell: Shell) -> None:
    """The server waits as long as for any request; a download may take longer."""
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        shell.service.raises = None if len(pauses) == 2 else shell.service.raises

    with Remote(Access(shell.url)) as remote:
        shell.service.raises = DeadlineExceeded("It is not done.")
        assert patiently(remote, "topic", "1", "preload", pause)["name"] == "topic"
        assert len(pauses) == 2
        shell.service.raises = DeadlineExceeded("It is not done.")
        with pytest.raises(Refused, match="not done"):
            patiently(remote, "topic", "1", "promote", pause)


def test_rollback_takes_the_newest_version_with_traffic(shell: Shell) -> None:
    """That is the one which was promoted last; without any, it has to be named."""
    assert shell("rollback", "topic").exit_code == 0
    assert shell.asked == ("rollback", "topic", "1", None)
    with pytest.raises(PolyheadError, match="No version of new has traffic"):
        shell("rollback", "new")


TRAFFIC = (
    (("1=90", "2=10"), ({"1": 90.0, "2": 10.0}, (), "e0")),
    (("1=90", "--shadow", "2"), ({"1": 90.0}, ("2",), None)),
    (("--newest",), (None, (), "e0")),
    (("--shadow", "2"), (None, ("2",), "e0")),
    (("--no-shadow", "--newest"), (None, (), None)),
)


@pytest.mark.parametrize(("arguments", "expected"), TRAFFIC)
def test_traffic_is_shared_out(
    shell: Shell, arguments: tuple[str, ...], expected: tuple[object, ...]
) -> None:
    """What is not said stays."""
    result = shell("traffic", "topic", *arguments)
    assert result.exit_code == 0, result.output
    assert shell.asked == ("traffic", "topic", *expected)


@pytest.mark.parametrize("arguments", ((), ("1=1", "--newest"), ("--shadow", "1", "--no-shadow")))
def test_traffic_that_says_nothing_or_both_is_a_wrong_use(
    shell: Shell, arguments: tuple[str, ...]
) -> None:
    """Exit 2, and nothing is sent."""
    assert shell("traffic", "topic", *arguments).exit_code == 2
    assert shell.service.calls == []


@pytest.mark.parametrize("pair", ("1", "=3", "1=x"))
def test_weight_that_is_none_is_refused_here(shell: Shell, pair: str) -> None:
    """With an example."""
    with pytest.raises(PolyheadError, match="such as 1=90"):
        shell("traffic", "topic", pair)


def test_task_and_version_are_deleted(shell: Shell) -> None:
    """Silently."""
    assert shell("delete", "topic", "--version", "1").output == ""
    assert shell.asked == ("delete", "topic", "1", None)
    assert shell("delete", "topic").exit_code == 0
    assert "topic" not in shell.service.views


@pytest.mark.parametrize(
    ("arguments", "said"),
    (
        (("show", "none"), "There is no task named 'none'"),
        (("show", "a/b c"), "There is no task 'a/b c'"),
        (("promote", "topic", "7"), "has no version 7"),
        (("promote", "topic", "2"), "[missing_tensor] x is missing."),
        (("delete", "topic", "--version", "0"), "retired"),
    ),
)
def test_refusal_is_a_line_with_its_reasons_and_exit_1(
    shell: Shell, arguments: tuple[str, ...], said: str
) -> None:
    """No traceback."""
    result = shell(*arguments)
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stdout == ""


def test_read_only_catalog_is_refused_in_the_server_s_words(shell: Shell) -> None:
    """With its remedy."""
    shell.service.is_writable = False
    result = shell("put", "x", "--adapter", "hf://o/n")
    assert (result.exit_code, result.stderr) == (
        1,
        "polyhead: tasks.yaml is a single file; serve a folder.\n",
    )


def test_sub_command_finds_the_server_by_its_own_option_too(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And by the environment."""
    runner = CliRunner()
    assert runner.invoke(app, ["tasks", "show", "topic", "--url", shell.url]).exit_code == 0
    monkeypatch.setenv("POLYHEAD_URL", shell.url)
    assert runner.invoke(app, ["tasks", "show", "topic"]).exit_code == 0


class Stranger(BaseHTTPRequestHandler):
    """Another program on the port."""

    def do_GET(self) -> None:
        """An answer that is not ours."""
        self.send_response(404 if "none" in self.path else 200)
        self.end_headers()
        self.wfile.write(b"<html>")

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


@pytest.mark.parametrize("arguments", ((), ("show", "none"), ("show", "topic")))
def test_another_program_on_the_port_is_no_server_of_ours(arguments: tuple[str, ...]) -> None:
    """Exit 2 with one line, not a traceback."""
    with HTTPServer(("127.0.0.1", 0), Stranger) as stranger:
        threading.Thread(target=stranger.handle_request).start()
        url = f"http://127.0.0.1:{stranger.server_port}"
        result = CliRunner().invoke(app, ["tasks", "--url", url, *arguments])
    assert isinstance(result.exception, PolyheadError)
    assert "is the server running" in str(result.exception)


def test_event_without_a_version_is_printed(shell: Shell) -> None:
    """Things happen to whole tasks, too; and a version may have failed without reasons."""
    failed = replace(TOPIC.versions[0], reasons=(), last_error="It was slow.")
    noted = replace(TOPIC.versions[1], reasons=(Note("a", "b."),), id=None)
    shell.service.views["topic"] = replace(
        TOPIC, versions=(failed, noted), rollback={"error_rate": 0.1, "disagreement": None}
    )
    printed = shell("show", "topic").output
    assert "1: It was slow." in printed
    assert "–: [a] b." in printed
