"""Requests that two readers could understand in two ways, and connections used in odd ways."""

from __future__ import annotations

import json
import socket

import pytest

from tests.hardening.raw import ALIVE, NOTHING, Site, ask, chunked, connect, inputs, post, read

HIDDEN = ALIVE + b"X-Request-Id: hidden\r\n\r\n"
BODY = inputs("two words")
UPGRADE = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ")


def head(*lines: str) -> bytes:
    """A prediction's head with these headers only."""
    return "\r\n".join(["POST /models/topic HTTP/1.1", *lines, "", ""]).encode()


@pytest.mark.parametrize(
    "lines",
    (
        ("Host: a", "Content-Length: 4", "Transfer-Encoding: chunked"),
        ("Host: a", "Transfer-Encoding: chunked", "Content-Length: 4"),
        ("Host: a", "Content-Length: 4", "Content-Length: 5"),
        ("Host: a", "Content-Length: 4", "Content-Length: 4"),
        ("Host: a", "Content-Length: 4, 4"),
        ("Host: a", "Content-Length: +4"),
        ("Host: a", "Content-Length: -4"),
        ("Host: a", "Content-Length: 0x4"),
        ("Host: a", "Content-Length: 4 4"),
        ("Host: a", "Content-Length: 99999999999999999999999"),
        ("Host: a", "Transfer-Encoding: identity"),
        ("Host: a", "Transfer-Encoding: xchunked"),
        ("Host: a", "Transfer-Encoding: chunked, identity"),
        ("Host: a", "Transfer-Encoding: chunked\x0b"),
        ("Host: a", "Transfer-Encoding : chunked"),
        ("Host: a", " Transfer-Encoding: chunked"),
        ("Host: a", "X: b", " folded"),
        ("Host: a", "X: b\0c"),
        ("Host: a", "X\0: b"),
        ("Host: a", ": b"),
        ("Host: a", "no colon"),
        ("Host: a", "Host: b", "Content-Length: 4"),
        ("Content-Length: 4",),
        ("Host: a", "Content-Length: 4\n"),
    ),
    ids=lambda lines: ", ".join(lines)[:60],
)
def test_ambiguous_framing_is_refused_and_ends_the_connection(
    site: Site, lines: tuple[str, ...]
) -> None:
    """What follows is never taken for a second request."""
    with connect(site.port) as client:
        client.sendall(head(*lines) + b"0\r\n\r\n" + HIDDEN)
        refused = read(client)
        assert (refused.status, refused.code) == (400, "bad_request")
        assert refused.headers["connection"] == "close"
        assert read(client) == NOTHING


@pytest.mark.parametrize(
    "body",
    (
        b"-1\r\n",
        b"fffffffffffffffff\r\n",
        b"g\r\n",
        b"2 \r\n{}\r\n",
        b"2\n{}\n",
        b"2\r\n{}0\r\n\r\n",
    ),
    ids=repr,
)
def test_wrong_chunks_are_refused(site: Site, body: bytes) -> None:
    """The request that they belong to is answered so."""
    answer = ask(site.port, chunked(), body, HIDDEN)
    assert (answer.status, answer.code) == (400, "bad_request")


@pytest.mark.parametrize(
    "start",
    (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        b"GET / HTTQ/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ),
    ids=repr,
)
def test_other_protocols_are_refused(site: Site, start: bytes) -> None:
    """HTTP/2, tunnels, TLS on a plain port, noise."""
    assert ask(site.port, start).status == 400


def test_trailers_are_no_headers_of_their_request(site: Site) -> None:
    """They come after what they could change was decided."""
    parts = b"%x\r\n%b\r\n0\r\nX-Request-Id: trailed\r\n\r\n" % (len(BODY), BODY)
    answer = ask(site.port, chunked("X-Request-Id: sent"), parts)
    assert (answer.status, answer.headers["x-request-id"]) == (200, "sent")


@pytest.mark.parametrize("is_split", (False, True))
@pytest.mark.parametrize("is_chunked", (False, True))
def test_an_offer_of_another_protocol_costs_no_body(
    site: Site, is_split: bool, is_chunked: bool
) -> None:
    """Java's client makes one by itself; the connection goes on, and no body becomes a request."""
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY) if is_chunked else BODY
    begin = chunked(*UPGRADE) if is_chunked else post(b"", *UPGRADE, length=len(BODY))
    with connect(site.port) as client:
        for _ in range(2):
            parts = (begin, body) if is_split else (begin + body,)
            for part in parts:
                client.sendall(part)
            answer = read(client)
            assert (answer.status, json.loads(answer.body)[0][0]["score"]) == (200, 2)


def test_requests_sent_at_once_are_answered_in_their_order(site: Site) -> None:
    """Each with its own answer, though the second would be ready first."""
    with connect(site.port) as client:
        texts = ["a " * count for count in range(1, 9)]
        client.sendall(b"".join(post(inputs(text)) for text in texts))
        scores = [json.loads(read(client).body)[0][0]["score"] for _ in texts]
    assert scores == [1, 2, 3, 4, 5, 6, 7, 8]


def test_noise_after_a_request_costs_no_answer(site: Site) -> None:
    """The request was whole; the connection ends after it."""
    with connect(site.port) as client:
        client.sendall(post(BODY) + b"\x00\x01noise\r\n\r\n")
        assert read(client).status == 200
        assert read(client) == NOTHING


def test_a_client_who_closes_its_sending_side_has_left(site: Site) -> None:
    """Its connection ends; half a request is nothing."""
    for sent in (post(BODY, length=1000), b"GET /", b""):
        with connect(site.port) as client:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            assert read(client) == NOTHING
    assert site.is_well
