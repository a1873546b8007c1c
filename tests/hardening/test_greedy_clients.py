"""Clients who send or ask for too much are refused, and the server's memory stays small."""

from __future__ import annotations

import gzip
import json
import socket

import pytest

from tests.hardening.conftest import BODY_BYTES, HEADER_BYTES, HELD_BYTES, serving
from tests.hardening.raw import (
    ALIVE,
    Site,
    ask,
    chunked,
    connect,
    crowd,
    inputs,
    is_closed,
    post,
    read,
    until,
)

MIB = 1 << 20
BLOCK = b"x" * MIB
LARGE = inputs({"question": "q", "context": "x" * (3 * MIB // 2)})


def chunk(body: bytes) -> bytes:
    """A body as one chunk."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def test_a_body_that_says_that_it_is_giant_is_refused_unread(site: Site) -> None:
    """By its length alone."""
    answer = ask(site.port, post(b"", length=1 << 50))
    assert (answer.status, answer.code) == (413, "too_large")


def test_a_giant_body_is_refused_while_it_comes(site: Site) -> None:
    """Its length is given or not; memory does not grow with it, and the refusal can be read."""
    before = site.num_bytes
    whole = ask(site.port, post(b"", length=64 * MIB), *[BLOCK] * 64)
    parts = ask(site.port, chunked(), *[chunk(BLOCK)] * 64)
    assert (whole.status, parts.status) == (413, 413)
    assert site.num_bytes - before < 16 * MIB
    assert site.is_well


def test_the_largest_body_that_is_allowed_is_taken(site: Site) -> None:
    """With its length, in chunks, and in chunks of a byte."""
    body = inputs("x" * (BODY_BYTES - 14))
    assert len(body) == BODY_BYTES
    assert ask(site.port, post(body)).status == 200
    assert ask(site.port, chunked(), chunk(body), b"0\r\n\r\n").status == 200
    small = inputs("a b c")
    tiny = b"".join(chunk(bytes((byte,))) for byte in small) + b"0\r\n\r\n"
    assert ask(site.port, chunked(), tiny).status == 200


@pytest.mark.parametrize(
    "head",
    (
        b"GET /" + b"a" * 2 * HEADER_BYTES + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /?" + b"a" * (64 << 20) + b" HTTP/1.1\r\n",
        ALIVE + b"X-Long: " + b"a" * 2 * HEADER_BYTES + b"\r\n\r\n",
        ALIVE + b"X-Endless: " + b"a" * (64 << 20),
        ALIVE + b"a" * (64 << 20),
        ALIVE + b"A: b\r\n" * 101 + b"\r\n",
        ALIVE + b"A: b\r\n" * (1 << 20),
    ),
    ids=("path", "query", "header", "endless", "name", "many", "more"),
)
def test_long_heads_are_refused(site: Site, head: bytes) -> None:
    """With 431, whether they end or not, and without keeping them."""
    before = site.num_bytes
    answer = ask(site.port, head)
    assert (answer.status, answer.code) == (431, "too_large")
    assert site.num_bytes - before < 16 * MIB


def test_the_longest_head_that_is_allowed_is_taken(site: Site) -> None:
    """Up to the byte."""
    for missing, status in ((100, 200), (-100, 431)):
        long = b"X-Long: " + b"a" * (HEADER_BYTES - missing - len(ALIVE))
        assert ask(site.port, ALIVE + long + b"\r\n\r\n").status == status


@pytest.mark.parametrize(
    "endless",
    (b"1;" + b"e" * MIB, b"0\r\n" + b"A: b\r\n" * MIB, b"0\r\nA: " + BLOCK),
    ids=("extension", "trailers", "trailer"),
)
def test_what_surrounds_chunks_does_not_grow_for_ever(site: Site, endless: bytes) -> None:
    """Extensions of chunks and headers after the last are bounded like headers."""
    assert ask(site.port, chunked(), endless).status == 431


def test_requests_that_nobody_waits_for_are_not_piled_up(site: Site) -> None:
    """Some may be sent before the first answer; each of those is answered, in order."""
    before = site.num_bytes
    with connect(site.port) as client:
        client.sendall((ALIVE + b"\r\n") * 20_000)
        answers = []
        while (answer := read(client)).status:
            answers.append(answer.status)
    assert answers == [200] * len(answers)
    assert 16 <= len(answers) < 100
    assert site.num_bytes - before < 32 * MIB
    assert site.drops("pipelined") >= 1


def test_bodies_of_all_connections_share_one_room() -> None:
    """Those that take longest leave with 503 and a time; small ones are answered all the while."""
    with serving(TRANSFER_TIMEOUT_S=60) as site:
        ask(site.port, post(LARGE, task="echo"))
        before = site.num_bytes
        with crowd(site.port, 32) as clients:
            for client in clients:
                client.sendall(post(BLOCK, length=2 * len(BLOCK)))
                assert site.is_well
            assert until(lambda: site.drops("no_memory") >= 24)
            assert site.num_bytes - before < HELD_BYTES + 24 * MIB
            first = read(clients[0])
            assert (first.status, first.code) == (503, "busy")
            clients[-1].sendall(b"x" * len(BLOCK))
            assert read(clients[-1]).status == 422


def test_answers_that_nobody_reads_share_one_room() -> None:
    """Who has had the longest time to read them is cut."""
    with serving(TRANSFER_TIMEOUT_S=60, HEADER_TIMEOUT_S=60) as site:
        before = site.num_bytes
        with crowd(site.port, 160, receive_bytes=4096) as clients:
            for client in clients:
                client.sendall(post(LARGE, task="echo"))
                client.recv(1, socket.MSG_PEEK)
            assert until(lambda: site.drops("no_memory") >= 140)
            assert site.num_bytes - before < 100 * MIB
            assert len(read(clients[0]).body) < MIB
            assert len(read(clients[-1]).body) > len(LARGE) - 100
        assert site.is_well


def test_a_small_body_is_not_made_a_large_one(site: Site) -> None:
    """Nothing is unpacked: 64 MiB in 64 KiB are refused as they are."""
    bomb = gzip.compress(b'{"inputs": "' + b"x" * (64 * MIB) + b'"}')
    before = site.num_bytes
    for encoding in ("gzip", "deflate", "br", "gzip, identity"):
        answer = ask(site.port, post(bomb, f"Content-Encoding: {encoding}"))
        assert (answer.status, answer.code) == (415, "compressed")
    assert ask(site.port, post(bomb)).status == 422
    assert ask(site.port, post(inputs("a"), "Content-Encoding: identity")).status == 200
    assert site.num_bytes - before < 16 * MIB


@pytest.mark.parametrize(
    "body",
    (
        b"[" * MIB,
        b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"inputs": ' + b'{"a":' * 200_000 + b"1" + b"}" * 200_000 + b"}",
        b'{"inputs": "a", "parameters": {"top_k": NaN}}',
        b'{"inputs": "a", "parameters": {"top_k": -Infinity}}',
        b'{"inputs": "a", "parameters": {"top_k": 1e999}}',
        b'{"inputs": "a", "parameters": {"top_k": ' + b"9" * 100_000 + b"}}",
        b'{"inputs": ' + b"9" * MIB + b"}",
        b'{"inputs": "\xff\xfe"}',
        b'{"inputs": "\xed\xa0\x80"}',
        b'{"inputs": "\\ud800"}',
        b'\xef\xbb\xbf{"inputs": "a"}',
        b'{"inputs": [' + b"[]," * 600_000 + b"[]]}",
        b'{"inputs": "a", "parameters": {' + b",".join(b'"%d":{}' % i for i in range(9**5)) + b"}}",
        b"\0" * 1000,
        b"",
        b"null",
        b'"inputs"',
    ),
    ids=lambda body: body[:30].decode("latin-1"),
)
def test_wrong_json_is_refused_and_not_kept(site: Site, body: bytes) -> None:
    """However deep, wide or strange; with a code, never as the server's own fault."""
    before = site.num_bytes
    answer = ask(site.port, post(body))
    assert answer.status == 422, answer
    assert answer.code in ("invalid_input", "too_long")
    assert len(answer.body) < 1000
    assert site.num_bytes - before < 100 * MIB
    assert site.is_well


def test_hundreds_of_hostile_bodies_leave_no_memory_behind(site: Site) -> None:
    """What a body became is gone with its answer."""
    wide = b'{"inputs": [' + b"{}," * 500_000 + b"{}]}"
    for _ in range(10):
        ask(site.port, post(wide))
    before = site.num_bytes
    for _ in range(60):
        assert ask(site.port, post(wide)).status == 422
    assert site.num_bytes - before < 8 * MIB


def test_what_is_closed_by_the_server_is_closed(site: Site) -> None:
    """After a refusal below HTTP nothing more is read."""
    with connect(site.port) as client:
        client.sendall(b"nonsense\r\n\r\n" + post(inputs("a")))
        assert json.loads(read(client).body)["code"] == "bad_request"
        assert is_closed(client)
