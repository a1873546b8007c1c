from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.commands.started import Started, started_server
from tests.tenancy.conftest import Keys

# Where the tests run in the background of a shell, Ctrl-C is ignored, by what they start too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Authority:
    """Signs certificates for loopback; its own and theirs lie in files."""

    file: str
    signed: str


def authority_in(folder: Path) -> Authority:
    """A new authority, with one certificate and its key in a file."""
    folder.mkdir()
    issuer = trustme.CA()
    issuer.cert_pem.write_to_path(folder / "ca.pem")
    issuer.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "all.pem")
    return Authority(str(folder / "ca.pem"), str(folder / "all.pem"))


@dataclass(frozen=True)
class Secured(Started):
    """A server under TLS, with keys."""

    authority: Authority
    keys: Keys


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    with started_server(tmp_path_factory.mktemp("plain"), {}) as server:
        yield server


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority = authority_in(folder / "authority")
    keys = Keys(folder / "keys.yaml")
    keys.add("topics", tasks=["topic"])
    keys.add("operator", actions=["predict", "admin", "metrics"])
    variables = {"POLYHEAD_KEYS": str(keys.path), "POLYHEAD_SSL_CERTFILE": authority.signed}
    with started_server(folder, variables) as server:
        yield Secured(server.url, server.process, authority, keys)
