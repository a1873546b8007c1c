"""The same patience under TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.commands.conftest import Authority, authority_in
from tests.hardening.conftest import serving
from tests.hardening.raw import ALIVE, Site, connect, inputs, post, read, until

LARGE = inputs({"question": "q", "context": "x" * 1_900_000})


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority_in(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture(scope="module")
def secret(authority: Authority) -> Iterator[Site]:
    """A server whose connections are wrapped in TLS."""
    with serving(SSL_CERTFILE=authority.signed) as site:
        yield site


@contextmanager
def wrapped(site: Site, authority: Authority, receive_bytes: int = 0) -> Iterator[ssl.SSLSocket]:
    """A connection under TLS."""
    context = ssl.create_default_context(cafile=authority.file)
    plain = connect(site.port, receive_bytes)
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as client:
        yield client


def counted(site: Site, authority: Authority, reason: str) -> bool:
    """Whether a connection was ended for this reason."""
    with wrapped(site, authority) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        return f'connections_total{{reason="{reason}"}}' in read(client).body.decode()


def test_slow_heads_are_given_up(secret: Site, authority: Authority) -> None:
    """With 408."""
    with wrapped(secret, authority) as client:
        client.sendall(ALIVE)
        assert read(client).status == 408


def test_a_reader_who_stops_loses_the_connection(secret: Site, authority: Authority) -> None:
    """Though what waits for it lies where TLS keeps it."""
    with wrapped(secret, authority, receive_bytes=4096) as client:
        client.sendall(post(LARGE, task="echo"))
        assert until(lambda: counted(secret, authority, "slow_reader"))
        assert len(read(client).body) < len(LARGE) // 2


def test_large_answers_are_whole(secret: Site, authority: Authority) -> None:
    """For clients who read them."""
    with wrapped(secret, authority) as client:
        client.sendall(post(LARGE, task="echo"))
        assert len(read(client).body) > 1_900_000
