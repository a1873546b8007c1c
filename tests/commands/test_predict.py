"""`polyhead predict`: what is asked, what is printed, how it ends."""

from __future__ import annotations

import json
import select
import signal
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.commands.conftest import Secured, authority_in
from tests.commands.started import Started, polyhead
from tests.running import POLYHEAD, free_port, settings


def test_answer_is_readable_on_a_pipe(plain: Started) -> None:
    """A label and its score on each line, and nothing else."""
    done = polyhead("predict", "topic", "a b", "--url", plain.url)
    assert done.returncode == 0
    label, score = done.stdout.splitlines()[0].split()
    assert label
    assert float(score) == 2


def test_lines_of_a_pipe_are_answered_in_their_order_as_json(plain: Started) -> None:
    """Also where several are asked at a time; an empty line is no input."""
    texts = [f"text {number}" for number in range(40)]
    done = polyhead("predict", "topic", "--json", "--url", plain.url, typed="\n\n".join(texts))
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert texts == [line["inputs"] for line in lines]
    assert all(line["outputs"] for line in lines)


def test_one_input_that_is_refused_leaves_the_others(plain: Started) -> None:
    """Its line says why; the command ends with 1."""
    lines = '{"question": "a", "context": "b"}\n{"question": 1}\n'
    done = polyhead("predict", "echo", "--json", "--url", plain.url, typed=lines)
    fine, wrong = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 1
    assert "outputs" in fine
    assert wrong["error"]["status"] == 422


def test_a_live_pipe_is_answered_before_its_next_line(plain: Started) -> None:
    """As behind `tail -f`; Ctrl-C ends it without a word."""
    command = [str(POLYHEAD), "predict", "topic", "--json", "--url", plain.url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=settings(), bufsize=0, **pipes) as asked:  # type: ignore[call-overload]
        for text in (b"a", b"b"):
            asked.stdin.write(text + b"\n")
            assert select.select([asked.stdout], [], [], 30)[0]
            assert json.loads(asked.stdout.readline())["inputs"] == text.decode()
        asked.send_signal(signal.SIGINT)
        assert asked.wait(10) == 130
        assert asked.stderr.read() == b""


def test_a_line_that_is_not_utf_8_leaves_the_others(plain: Started) -> None:
    """It is told so; a byte order mark before the first line is none of its text."""
    lines = b'\xef\xbb\xbf{"question": "a", "context": "b"}\nd\xe9j\xe0 vu\n\xc3\xa9'
    command = [str(POLYHEAD), "predict", "echo", "--json", "--url", plain.url]
    done = subprocess.run(command, input=lines, capture_output=True, env=settings(), check=False)
    first, wrong, last = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, done.stderr) == (1, b"")
    assert "outputs" in first
    assert "not in UTF-8" in wrong["error"]["message"]
    assert (last["inputs"], "outputs" in last) == ("é", True)
    assert "not in UTF-8" in polyhead("predict", "topic", "d\udce9", "--url", plain.url).stderr


def test_a_closed_standard_input_is_told(plain: Started) -> None:
    """As a service without one has it."""
    command = f"{POLYHEAD} predict topic --url {plain.url} <&-"
    done = subprocess.run(command, shell=True, capture_output=True, env=settings(), check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"polyhead: Standard input is closed")


def test_a_text_that_was_cut_is_told(plain: Started) -> None:
    """On standard error, or as a field; of others nothing is said."""
    shown = polyhead("predict", "topic", "a long text", "--url", plain.url)
    assert (shown.returncode, "was cut" in shown.stderr) == (0, True)
    done = polyhead("predict", "topic", "a long text", "a", "--json", "--url", plain.url)
    assert [json.loads(line).get("truncated") for line in done.stdout.splitlines()] == [True, None]
    assert not done.stderr


def test_letters_that_a_terminal_lacks_are_no_error(plain: Started) -> None:
    """A mark stands in their place."""
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    done = polyhead("predict", "topic", "é", "a", "--url", plain.url, variables=ascii_only)
    assert (done.returncode, done.stdout[0]) == (0, "?")


def test_a_full_disk_is_one_line(plain: Started) -> None:
    """Whatever is printed; the command ends with 2."""
    for words in (["predict", "topic", "a"], ["predict", "topic", "a", "--json"], ["tasks"]):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [str(POLYHEAD), *words],
                env=settings() | {"POLYHEAD_URL": plain.url},
                stdin=subprocess.DEVNULL,
                stdout=full,
                stderr=subprocess.PIPE,
                check=False,
            )
        assert (done.returncode, done.stderr) == (2, b"polyhead: there is no room to write to.\n")


def test_the_version_is_printed() -> None:
    """The installed package's."""
    assert polyhead("--version").stdout == f"polyhead {version('polyhead')}\n"


def test_parameters_reach_the_task(plain: Started) -> None:
    """As JSON where they are JSON; one without a value is an error."""
    one = polyhead("predict", "topic", "a", "-p", "top_k=1", "--url", plain.url)
    assert len(one.stdout.splitlines()) == 1
    nameless = polyhead("predict", "topic", "a", "-p", "top_k", "--url", plain.url)
    assert nameless.returncode == 2
    assert "name=value" in nameless.stderr


def test_unknown_task_and_missing_server_say_what_to_do(plain: Started) -> None:
    """1 for a refusal, 2 where nobody answers."""
    unknown = polyhead("predict", "nobody", "a", "--url", plain.url)
    assert unknown.returncode == 1
    assert "There is no task" in unknown.stderr
    gone = polyhead("predict", "topic", "a", "--url", f"http://127.0.0.1:{free_port()}")
    assert gone.returncode == 2
    assert "is the server running" in gone.stderr


@pytest.mark.parametrize("name", ("", "..", "a/b"))
def test_what_can_be_no_name_is_no_task(name: str, plain: Started) -> None:
    """Whatever other route it would be."""
    for command in (["predict", name, "a"], ["tasks", "show", name]):
        done = polyhead(*command, "--url", plain.url)
        assert done.returncode == 1
        assert f"There is no task {name!r}" in done.stderr


def test_keys_and_certificates_are_shown_and_checked(secured: Secured, tmp_path: Path) -> None:
    """By options or variables; what is missing or wrong is named."""
    ask = ["predict", "topic", "a", "--url", secured.url]
    trust = ["--cacert", secured.authority.file]
    secret = secured.keys.secrets["topics"]
    variables = {"POLYHEAD_KEY": secret, "POLYHEAD_CACERT": secured.authority.file}
    assert polyhead(*ask, *trust, "--key", secret).returncode == 0
    assert polyhead(*ask, variables=variables).returncode == 0
    keyless, mistaken = polyhead(*ask, *trust), polyhead(*ask, *trust, "--key", "ph_wrong")
    assert (keyless.returncode, mistaken.returncode) == (1, 1)
    assert "A key is needed here" in keyless.stderr
    for strange in ([], ["--cacert", authority_in(tmp_path / "other").file]):
        untrusted = polyhead(*ask, *strange, "--key", secret)
        assert untrusted.returncode == 2
        assert "--cacert" in untrusted.stderr


@pytest.mark.parametrize(
    ("options", "named"),
    (
        (("--url", "localhost"), "http://host:port"),
        (("--cacert", __file__, "--url", "https://127.0.0.1:1"), "--cacert"),
        (("--key", "ph_\n", "--url", "http://127.0.0.1:1"), "POLYHEAD_KEY"),
        (("--url", "http://[::1"), "http://"),
    ),
)
def test_wrong_options_are_told_before_anything_is_sent(
    options: tuple[str, ...], named: str
) -> None:
    """One line that names the option."""
    done = polyhead("predict", "topic", "a", *options)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert named in done.stderr
