"""Keys of a server that runs: they come and go, and are told to nobody."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator

import httpx
import pytest
from typer.testing import CliRunner

from serving.cli import app
from tests.tenancy.conftest import Keys
from tests.tenancy.keyed import Keyed, eventually, keyed_server
from tests.tracing.test_export import Collector

TELLING = {"POLYHEAD_ACCESS_LOG": "true", "POLYHEAD_LOG_LEVEL": "DEBUG"}
TELLING |= {"OTEL_BSP_SCHEDULE_DELAY": "50"}
SHOWN = ("/metrics", "/debug/batches", "/usage", "/info", "/tasks", "/openapi.json")
WRONG = "ph_wrong-but-somebody-s-secret-elsewhere"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.close()


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Keyed]:
    folder = tmp_path_factory.mktemp("keyed")
    keys = Keys(folder / "keys.yaml")
    keys.add("operator", actions=["predict", "admin", "metrics"])
    variables = {**TELLING, "POLYHEAD_OTLP_ENDPOINT": collector.url}
    with keyed_server(folder, keys, variables) as server:
        yield server


def predict(client: httpx.Client, secret: str, **headers: str) -> httpx.Response:
    """One prediction."""
    headers["authorization"] = f"Bearer {secret}"
    return client.post("/models/topic", json={"inputs": "a"}, headers=headers)


def test_keys_come_and_go_while_it_runs(keyed: Keyed) -> None:
    """Also for who is connected already."""
    with httpx.Client(base_url=keyed.url) as client:
        secret = keyed.keys.add("guest")
        eventually(lambda: predict(client, secret).status_code == 200)
        keyed.keys.remove("guest")
        eventually(lambda: predict(client, secret).status_code == 401)
        second = keyed.keys.add("guest", tasks=["spam"])
        eventually(lambda: predict(client, second).status_code == 403)
        assert predict(client, secret).status_code == 401


def test_broken_file_leaves_the_keys_and_says_why(keyed: Keyed) -> None:
    """In the log and the metrics, until it is mended."""
    fine = keyed.keys.path.read_text()

    def is_broken() -> bool:
        return "polyhead_keys_broken 1.0" in keyed.ask("/metrics", "operator").text

    for wrong in ("keys: [", fine + "- {name: x, hash: y}\n", ""):
        keyed.keys.path.write_text(wrong)
        eventually(is_broken)
        assert keyed.ask("/tasks", "operator").status_code == 200
        keyed.keys.path.write_text(fine)
        eventually(lambda: not is_broken())
    keyed.keys.path.unlink()
    eventually(is_broken)
    assert keyed.ask("/tasks", "operator").status_code == 200
    keyed.keys.path.write_text(fine)
    eventually(lambda: not is_broken())
    said = keyed.log.read_text()
    assert "The keys stay as they were" in said
    assert "].hash: " in said
    assert "is not valid YAML" in said


def test_no_secret_is_told_anywhere(keyed: Keyed, collector: Collector) -> None:
    """Logs down to DEBUG, access lines, answers, metrics, batches, usage, traces."""
    secret = keyed.keys.secrets["operator"]
    answers = []
    with httpx.Client(base_url=keyed.url) as client:
        for each in (secret, WRONG):
            answers += [predict(client, each), predict(client, each, **{"x-priority": "now"})]
            answers += [
                predict(client, each, **{"x-api-key": secret}),
                predict(client, f"{each} x"),
            ]
            shown = {"authorization": f"Bearer {each}", "x-api-key": each}
            for path in (
                "/metrics",
                "/debug/batches",
                "/usage",
                "/info",
                "/tasks",
                "/openapi.json",
            ):
                answers += [client.get(path, headers=shown), client.get(f"/x?key={each}")]
            for path in ("/models/none", "/models/topic", "/v1/embeddings", "/v2/models/x/infer"):
                answers.append(client.post(path, content=b"{", headers=shown))
                answers.append(client.put(path, content=b"{", headers=shown))
            upgrade = {**shown, "connection": "upgrade", "upgrade": "websocket"}
            answers.append(client.get("/tasks", headers=upgrade))
    assert {answer.status_code for answer in answers} >= {200, 400, 401, 405, 422}
    malformed = _send(keyed, f"GET / HTTP/1.1\r\nauthorization: Bearer {secret}\r\n \x00\r\n\r\n")
    eventually(lambda: b"/debug/batches" in b"".join(body for _, _, body in collector.received))
    told = "".join(answer.text + str(answer.headers) for answer in answers).encode() + malformed
    told += keyed.log.read_bytes() + b"".join(body for _, _, body in collector.received)
    assert b"operator" in told
    forms = (secret, WRONG, secret[3:], base64.b64encode(secret.encode()).decode())
    assert [form for form in forms if form.encode() in told] == []


def _send(keyed: Keyed, text: str) -> bytes:
    host, port = keyed.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(text.encode())
        return connection.recv(10_000)


def test_command_line_shows_its_key(keyed: Keyed, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variable or the option; without, it says what the server says."""
    ask = ["tasks", "--url", keyed.url]
    without = CliRunner().invoke(app, ask)
    secret = keyed.keys.secrets["operator"]
    listed = CliRunner().invoke(app, [*ask, "--key", secret])
    monkeypatch.setenv("POLYHEAD_KEY", secret)
    refused = CliRunner().invoke(app, [*ask, "pin", "nobody", "1"])
    assert (without.exit_code, listed.exit_code, refused.exit_code) == (1, 0, 1)
    assert "A key is needed here" in without.stderr
    assert "topic" in listed.stdout
    assert "read-only" in refused.stderr


def test_access_lines_name_the_key(keyed: Keyed) -> None:
    """By its name, for who was let in; nobody's where none was."""
    keyed.ask("/models/topic", "operator", "POST")
    keyed.ask("/tasks/nobody")
    eventually(lambda: "/tasks/nobody" in keyed.log.read_text())
    lines = keyed.log.read_text().splitlines()
    assert '"key":"operator"' in next(
        line for line in lines[::-1] if "POST '/models/topic'" in line
    )
    assert '"key"' not in next(line for line in lines[::-1] if "/tasks/nobody" in line)
