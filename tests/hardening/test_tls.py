"""The same patience under TLS."""

from __future__ import annotations

import signal
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.commands.conftest import Authority, authority_in
from tests.commands.started import started_server
from tests.hardening.conftest import serving
from tests.hardening.raw import ALIVE, Site, connect, crowd, inputs, post, read, until

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


def metrics(site: Site, authority: Authority) -> str:
    """All of them."""
    with wrapped(site, authority) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        return read(client).body.decode()


def counted(site: Site, authority: Authority, reason: str) -> bool:
    """Whether a connection was ended for this reason."""
    return f'connections_total{{reason="{reason}"}}' in metrics(site, authority)


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


def test_silent_handshakes_are_given_up_and_counted(authority: Authority) -> None:
    """They are connections like others: too many are turned away, and time lets others in."""
    with serving(SSL_CERTFILE=authority.signed, MAX_CONNECTIONS=20) as site:
        with crowd(site.port, 40) as silent:
            assert until(lambda: [each.recv(1) for each in silent] == [b""] * 40)
            assert until(lambda: "polyhead_connections 0.0" in metrics(site, authority))
        assert counted(site, authority, "full")
        assert counted(site, authority, "slow_header")


def test_silent_handshakes_do_not_keep_a_server_from_stopping(
    authority: Authority, tmp_path: Path
) -> None:
    """They are given a moment, like silent connections without TLS."""
    with started_server(tmp_path, {"POLYHEAD_SSL_CERTFILE": authority.signed}) as server:
        port = int(server.url.rpartition(":")[2])
        with crowd(port, 5) as silent:
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(15) == 0
            assert all(each.recv(1) == b"" for each in silent)


def test_nonsense_for_a_handshake_costs_its_sender_the_connection(
    secret: Site, authority: Authority
) -> None:
    """A request without TLS, too; the next client is greeted as ever."""
    with connect(secret.port) as client:
        client.sendall(ALIVE + b"\r\n")
        assert not read(client).status
    with wrapped(secret, authority) as client:
        client.sendall(ALIVE + b"\r\n")
        assert read(client).status == 200
    assert "Traceback" not in secret.log.read_text()


def test_a_request_may_come_with_the_end_of_the_handshake(
    secret: Site, authority: Authority
) -> None:
    """The server sees both in one packet."""
    context = ssl.create_default_context(cafile=authority.file)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with connect(secret.port) as plain:
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                incoming.write(plain.recv(65536))
        client.write(ALIVE + b"\r\n")
        plain.sendall(outgoing.read())
        answer = b""
        while b"\r\n\r\n" not in answer:
            incoming.write(plain.recv(65536))
            try:
                answer += client.read()
            except ssl.SSLWantReadError:
                continue
    assert answer.startswith(b"HTTP/1.1 200")
