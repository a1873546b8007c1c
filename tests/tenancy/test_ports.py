"""Operators' routes on a port of their own."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from adapter_runtime import SettingsError
from serving.listeners import listen_all
from serving.settings import load_settings
from tests.running import free_port
from tests.tenancy.conftest import Keys
from tests.tenancy.keyed import Keyed, keyed_server

CLIENTS = (
    ("POST", "/models/topic", 200),
    ("GET", "/tasks", 200),
    ("GET", "/health/ready", 200),
    ("GET", "/", 200),
    ("GET", "/v2/models", 200),
)
OPERATORS = (
    ("GET", "/metrics", 200),
    ("GET", "/debug/batches", 200),
    ("GET", "/usage", 200),
    ("DELETE", "/tasks/topic", 409),
    ("POST", "/tasks/topic/versions/1:promote", 409),
    ("POST", "/v2/repository/models/topic/load", 200),
    ("GET", "/nobody/knows", 404),
)


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    folder = tmp_path_factory.mktemp("ports")
    keys = Keys(folder / "keys.yaml")
    keys.add("operator", actions=["predict", "admin", "metrics"])
    with keyed_server(folder, keys, {"POLYHEAD_ADMIN_PORT": "0"}) as server:
        yield server


@pytest.mark.parametrize(("method", "path", "status"), CLIENTS + OPERATORS)
def test_operators_port_serves_all(keyed: Keyed, method: str, path: str, status: int) -> None:
    """Clients' routes too; keys are asked for as elsewhere."""
    assert keyed.ask(path, "operator", method, keyed.admin_url).status_code == status
    expected = 200 if path in ("/", "/health/ready") else 401
    assert keyed.ask(path, "", method, keyed.admin_url).status_code == expected


@pytest.mark.parametrize(("method", "path", "status"), CLIENTS)
def test_clients_port_serves_what_clients_ask(
    keyed: Keyed, method: str, path: str, status: int
) -> None:
    """As without the other."""
    assert keyed.ask(path, "operator", method).status_code == status


@pytest.mark.parametrize(("method", "path", "status"), OPERATORS)
def test_clients_port_knows_no_operators(keyed: Keyed, method: str, path: str, status: int) -> None:
    """404 as for any other path, whatever key is shown, and whatever host is named."""
    assert {keyed.ask(path, key, method).status_code for key in ("operator", "")} == {404}


def test_host_header_chooses_no_port(keyed: Keyed) -> None:
    """It is where the connection came in that counts."""
    headers = {"host": keyed.admin_url.removeprefix("http://"), "x-forwarded-port": "1"}
    assert httpx.get(f"{keyed.url}/metrics", headers=headers).status_code == 404


def test_two_ports_are_two() -> None:
    """Said before anything slow."""
    port = free_port()
    with (
        pytest.raises(SettingsError, match="choose another"),
        listen_all(load_settings(port=port, admin_port=port)),
    ):
        pass
