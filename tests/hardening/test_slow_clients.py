"""Clients who send or read slowly lose their connections; nobody else notices."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from socket import socket

from tests.hardening.conftest import HEADER_S, TRANSFER_S, serving
from tests.hardening.raw import (
    ALIVE,
    NOTHING,
    Site,
    ask,
    connect,
    crowd,
    inputs,
    is_closed,
    post,
    read,
    until,
)

MANY = 300
LARGE = inputs({"question": "q", "context": "x" * 1_500_000})
"""The server's answer to it is as long."""


def drip(clients: Sequence[socket], rounds: int, every_s: float = 0.25) -> None:
    """Each sends a byte of a header now and then."""
    for _ in range(rounds):
        for client in clients:
            with suppress(OSError):
                client.send(b"x")
        time.sleep(every_s)


def test_heads_that_come_byte_by_byte_are_given_up(site: Site) -> None:
    """Hundreds at once are told so, while others are served all the time."""
    before = site.drops("slow_header")
    served = []
    with crowd(site.port, MANY) as clients:
        for client in clients:
            client.sendall(ALIVE + b"X-Slow: ")
        for _ in range(3):
            drip(clients, 2)
            served.append(site.is_well)
        answers = [read(client) for client in clients]
    assert {answer.status for answer in answers} == {408}
    assert answers[0].code == "request_timeout"
    assert served == [True] * 3
    assert site.drops("slow_header") - before == MANY


def test_a_connection_that_says_nothing_is_closed_without_words(site: Site) -> None:
    """There is no request that an answer could belong to."""
    with connect(site.port) as client:
        began_s = time.monotonic()
        assert read(client) == NOTHING
    assert time.monotonic() - began_s >= HEADER_S / 2


def test_a_second_head_is_given_no_longer_than_the_first(site: Site) -> None:
    """Its time begins with its first byte."""
    with connect(site.port) as client:
        client.sendall(ALIVE + b"\r\n")
        assert read(client).status == 200
        client.sendall(ALIVE)
        assert read(client).status == 408


def test_empty_lines_before_a_request_do_not_keep_a_connection(site: Site) -> None:
    """They are no head, and no reason to wait."""
    with connect(site.port) as client:
        client.sendall(ALIVE + b"\r\n")
        assert read(client).status == 200
        for _ in range(60):
            with suppress(OSError):
                client.sendall(b"\r\n")
            time.sleep(0.05)
        client.settimeout(0.5)
        assert is_closed(client)


def test_a_body_that_comes_byte_by_byte_is_given_up(site: Site) -> None:
    """With 408; the request never reaches a task."""
    with connect(site.port) as client:
        client.sendall(post(b'{"inputs": "', length=1000))
        drip([client], 10)
        answer = read(client)
        assert (answer.status, answer.code) == (408, "request_timeout")
    assert site.drops("slow_body") >= 1
    assert site.is_well


def test_a_body_that_keeps_the_pace_may_take_longer(site: Site) -> None:
    """Over several windows of time."""
    body = inputs("a " * 120_000)
    parts = [body[start : start + 12_000] for start in range(0, len(body), 12_000)]
    with connect(site.port) as client:
        client.sendall(post(b"", length=len(body)))
        for part in parts:
            client.sendall(part)
            time.sleep(2.5 * TRANSFER_S / len(parts))
        assert read(client).status == 200


def test_a_reader_who_stops_loses_the_connection(site: Site) -> None:
    """Memory is not kept for a client who does not read; also when it asked to close."""
    before = site.drops("slow_reader")
    with crowd(site.port, 2, receive_bytes=4096) as clients:
        for client, header in zip(clients, ("X-A: b", "Connection: close"), strict=True):
            client.sendall(post(LARGE, header, task="echo"))
        assert until(lambda: site.drops("slow_reader") - before == 2)
        assert all(len(read(client).body) < len(LARGE) // 2 for client in clients)


def test_a_reader_who_keeps_the_pace_gets_all(site: Site) -> None:
    """Over several windows of time."""
    got = b""
    with connect(site.port, receive_bytes=16 << 10) as client:
        client.sendall(post(LARGE, "Connection: close", task="echo"))
        while part := client.recv(1 << 16):
            got += part
            time.sleep(0.02)
    assert got.endswith(b'"start":0,"end":1}')
    assert len(got) > 1_500_000


def test_what_is_sent_after_the_answer_is_not_heard_for_ever(site: Site) -> None:
    """A body that was refused by its length may still come, for a few seconds."""
    with connect(site.port) as client:
        client.sendall(post(b"", length=1 << 40))
        assert read(client).status == 413
        drip([client], 12)
        client.settimeout(0.5)
        assert is_closed(client)
    assert site.drops("unwanted_body") >= 1


def test_idle_connections_end_after_their_time() -> None:
    """Without a word, and without being counted as dropped."""
    with serving(KEEP_ALIVE_S=1) as site, connect(site.port) as client:
        client.sendall(ALIVE + b"\r\n")
        assert read(client).status == 200
        assert is_closed(client)
        assert site.drops("slow_header") == 0


def test_the_longest_idle_make_room_when_the_house_is_full() -> None:
    """Connections that wait for nothing cannot shut others out."""
    with serving(MAX_CONNECTIONS=64, HEADER_TIMEOUT_S=60) as site, crowd(site.port, 200):
        assert [site.is_well for _ in range(5)] == [True] * 5
        assert site.drops("full") >= 136


def test_no_request_that_is_answered_makes_room() -> None:
    """Who comes when all are busy is told so, and when to come again."""
    with serving(run_s=1.0, MAX_CONNECTIONS=3) as site, crowd(site.port, 3) as busy:
        for client in busy:
            client.sendall(post(inputs("a")))
        time.sleep(0.3)
        refused = ask(site.port)
        assert (refused.status, refused.code) == (503, "busy")
        assert refused.headers["retry-after"] == "1"
        assert [read(client).status for client in busy] == [200] * 3
