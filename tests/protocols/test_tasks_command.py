"""`polyhead tasks`: what is sent, what is printed, how it ends."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import uvicorn
from click.testing import Result
from typer.testing import CliRunner

from adapter_runtime import Note, PolyheadError
from serving.cli import app
from serving.commands.versions import patiently
from serving.errors import DeadlineExceeded
from serving.remote import Refused, Remote
from tests.protocols.conftest import Api
from tests.protocols.fake_service import TOPIC, FakeService


@dataclass
class Shell:
    """Runs `polyhead tasks` against a server over a FakeService."""

    url: str
    service: FakeService

    def __call__(self, *arguments: str, typed: str | None = None) -> Result:
        """One command; an error that `main` would print is raised."""
        result = CliRunner().invoke(app, ["tasks", "--url", self.url, *arguments], input=typed)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    @property
    def asked(self) -> Sequence[object]:
        """What the service was last told to do."""
        return self.service.calls[-1]


@pytest.fixture
def shell(api: Api) -> Iterator[Shell]:
    config = uvicorn.Config(api.app, log_config=None, ws="none", lifespan="off")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        yield Shell(f"http://127.0.0.1:{listener.getsockname()[1]}", api.service)
        server.should_exit = True
        thread.join()


def test_list_reads_well_in_80_columns(shell: Shell) -> None:
    """A line for each task, and below it why one does not answer."""
    sick = replace(TOPIC, name="x" * 90, state="rejected", reason="head: [MASK] has no row.")
    shell.service.views["sick"] = sick
    printed = shell().output.splitlines()
    assert all(len(line) <= 80 for line in printed[:-1])
    assert any("topic" in line and "ready" in line and "device" in line for line in printed)
    assert printed[-1].endswith("head: [MASK] has no row.")


def test_list_and_task_are_printed_as_json(shell: Shell) -> None:
    """For programs, wherever the option stands."""
    assert [task["name"] for task in json.loads(shell("--json").output)["tasks"]] == [
        "topic",
        "new",
    ]
    for arguments in (("--json", "show", "topic"), ("show", "topic", "--json")):
        assert json.loads(shell(*arguments).output)["etag"] == "e0"


def test_task_is_shown_with_its_versions_and_reasons(shell: Shell) -> None:
    """Traffic, refusals with their codes, events."""
    printed = shell("show", "topic").output
    assert "25 %" in printed
    assert "50.2" in printed
    assert "2: [not_finite] y holds NaN." in printed
    assert "ready 1" in printed
    assert "retired   0" in printed
    assert all(len(line) <= 80 for line in printed.splitlines())


def test_put_sends_what_options_say(shell: Shell, tmp_path: Path) -> None:
    """Folders that exist are made absolute, what is no folder here stays."""
    result = shell(
        "put", "fresh", "--no-wait", "--adapter", str(tmp_path), "--head", "org/name",
        "--kind", "text-classification", "--label", "no", "--label", "yes", "--id", "7",
        "--weight", "2.5", "--shadow",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    entry = {
        "adapter": str(tmp_path),
        "head": "org/name",
        "kind": "text-classification",
        "labels": ["no", "yes"],
        "id": "7",
        "weight": 2.5,
        "shadow": True,
    }
    assert shell.asked == ("put", "fresh", entry, None)


FILE = """
adapter: {average: [./a, hf://o/n, ./absent, {stack: [./a]}], mode: a, weights: [1, 1, 1, 1]}
head: a
limits: {overflow: truncate}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    (tmp_path / "entry.yaml").write_text(FILE)
    return tmp_path


def test_paths_start_where_their_file_lies(shell: Shell, folder: Path) -> None:
    """Sources only: a mode or a label that is called like a folder stays."""
    here = str(folder / "a")
    result = shell("put", "fresh", str(folder / "entry.yaml"), "--no-wait", "--id", "2")
    assert result.exit_code == 0, result.output
    entry = shell.service.calls[-1][2]
    assert entry["adapter"] == {
        "average": [here, "hf://o/n", "./absent", {"stack": [here]}],
        "mode": "a",
        "weights": [1, 1, 1, 1],
    }
    assert (entry["head"], entry["id"], entry["limits"]) == (here, "2", {"overflow": "truncate"})


def test_paths_start_in_the_working_directory(
    shell: Shell, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of options, and those of standard input."""
    monkeypatch.chdir(folder)
    shell("put", "x", "--adapter", "a", "--no-wait")
    assert shell.service.calls[-1][2] == {"adapter": str(folder / "a")}
    shell("put", "x", "-", "--no-wait", typed="versions: [{id: '1', adapter: ./a}]")
    assert shell.service.calls[-1][2] == {"versions": [{"id": "1", "adapter": str(folder / "a")}]}


def test_entry_is_found_in_a_file_of_many(shell: Shell, tmp_path: Path) -> None:
    """By its name."""
    file = tmp_path / "tasks.yaml"
    file.write_text("tasks: [{name: a, adapter: hf://o/a}, {name: b, adapter: hf://o/b}]")
    shell("put", "b", str(file), "--no-wait")
    assert shell.asked == ("put", "b", {"adapter": "hf://o/b"}, None)
    with pytest.raises(PolyheadError, match="0 tasks named c; it has a, b"):
        shell("put", "c", str(file))


@pytest.mark.parametrize(
    ("text", "said"),
    (
        ("[", "not readable"),
        ("", "expected a task file entry"),
        ("[1]", "expected a task file entry"),
        ("adapter: {x: 2020-01-01}", ""),
        ("id: !!set {a}", "JSON cannot"),
    ),
)
def test_file_that_says_nothing_is_refused_here(
    shell: Shell, tmp_path: Path, text: str, said: str
) -> None:
    """Before anything is sent."""
    (tmp_path / "entry.yaml").write_text(text)
    if not said:
        assert shell("put", "x", str(tmp_path / "entry.yaml"), "--no-wait").exit_code == 0
        return
    for arguments in ((), ("--no-wait",)):
        with pytest.raises(PolyheadError, match=said):
            shell("put", "x", str(tmp_path / "entry.yaml"), *arguments)
    with pytest.raises(PolyheadError, match="Nothing to put"):
        shell("put", "x")
    assert shell.service.calls == []


def test_put_waits_until_the_version_is_ready(shell: Shell) -> None:
    """A line for each state, then the task."""
    shell.service.course = ["pending", "loading", "loading", "checking", "ready", "ready"]
    result = shell("put", "topic", "--adapter", "hf://o/n", "--id", "3")
    assert result.exit_code == 0, result.output
    said = [line for line in result.stderr.splitlines() if line.startswith("topic 3: ")]
    assert said == [f"topic 3: {word}" for word in ("pending", "loading", "checking", "ready")]


def test_put_of_a_rejected_version_says_why(shell: Shell) -> None:
    """Every reason, and exit 1."""
    shell.service.course = ["pending", "rejected", "rejected"]
    result = shell("put", "topic", "--adapter", "hf://o/n")
    assert result.exit_code == 1
    assert "[missing_tensor] x is missing." in result.stderr
    assert "[not_finite] y holds NaN." in result.stderr


@pytest.mark.parametrize("action", ("promote", "pin", "unpin", "preload", "evict", "rollback"))
def test_actions_reach_the_version(shell: Shell, action: str) -> None:
    """Each is a sub-command."""
    assert shell(action, "topic", "1").exit_code == 0
    assert shell.asked == (action, "topic", "1", None)


def test_preload_is_asked_for_until_it_is_done(shell: Shell) -> None:
    """The server waits as long as for any request; a download may take longer."""
    remote, pauses = Remote(shell.url), []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        shell.service.raises = None if len(pauses) == 2 else shell.service.raises

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
        (("show", "a/b c"), "There is no task named"),
        (("promote", "topic", "7"), "has no version 7"),
        (("promote", "topic", "2"), "[missing_tensor] x is missing."),
        (("delete", "topic", "--version", "0"), "retired"),
    ),
)
def test_refusal_is_a_line_with_its_reasons_and_exit_1(
    shell: Shell, arguments: tuple[str, ...], said: str
) -> None:
    """No traceback."""
    if "/" in arguments[1]:
        said = "Not Found"  # no route: a task cannot be called so
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
