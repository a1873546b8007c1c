"""Whatever bytes come, in whatever pieces: the server answers rightly or not at all."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hardening.raw import ALIVE, NOTHING, Site, chunked, connect, inputs, post, read

BODY = inputs("two words")
WHOLE = (
    ALIVE + b"\r\n",
    post(BODY),
    post(BODY, "Expect: 100-continue"),
    post(BODY, "Connection: Upgrade", "Upgrade: h2c"),
    post(BODY, "Connection: close"),
    post(inputs({"question": "q", "context": "c"}), task="echo"),
    post(b"{}", task="nobody"),
    chunked() + b"%x\r\n%b\r\n0\r\nA: b\r\n\r\n" % (len(BODY), BODY),
    b"GET /tasks HTTP/1.0\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"DELETE /tasks/%00%2e%2e HTTP/1.1\r\nHost: a\r\n\r\n",
)
PIECES = (
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"%", b"\xff", b"0\r\n\r\n"),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: a\r\n", b"HTTP/1.1"),
    *(b"Connection: close\r\n", b"Upgrade: x\r\n", b"Expect: 100-continue\r\n", b"fffffff\r\n"),
)
SMALL = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """Requests of which some bytes are cut out, doubled, or replaced."""
    sent = b"".join(draw(st.lists(st.sampled_from(WHOLE), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(sent)))
        end = draw(st.integers(start, min(len(sent), start + 40)))
        middle = draw(
            st.one_of(
                st.just(b""),
                st.sampled_from(PIECES),
                st.binary(max_size=8),
                st.just(2 * sent[start:end]),
            )
        )
        sent = sent[:start] + middle + sent[end:]
    return sent


def talk(site: Site, sent: bytes, cuts: list[int], pause_s: float) -> list[int]:
    """The statuses of all answers to bytes that are sent in pieces."""
    ends = sorted({*(cut % (len(sent) + 1) for cut in cuts), len(sent)})
    statuses = []
    with connect(site.port, timeout_s=pause_s) as client:
        with suppress(OSError):
            for start, end in zip([0, *ends], ends, strict=False):
                client.sendall(sent[start:end])
        while (answer := read(client)) != NOTHING:
            statuses.append(answer.status)
    return statuses


@SMALL
@given(spoiled(), st.lists(st.integers(0, 500), max_size=4))
def test_spoiled_requests_get_answers_with_sense(site: Site, sent: bytes, cuts: list[int]) -> None:
    """Never the server's own fault; another client is answered rightly meanwhile."""
    statuses = talk(site, sent, cuts, pause_s=0.03)
    allowed = {100, 200, 400, 404, 405, 408, 409, 413, 415, 422, 431}
    assert set(statuses) <= allowed, (sent, statuses)
    assert site.is_well


@SMALL
@given(st.binary(min_size=1, max_size=300))
def test_noise_is_refused_or_waited_for(site: Site, sent: bytes) -> None:
    """Nothing of it is taken for a request."""
    assert set(talk(site, sent, [], pause_s=0.01)) <= {400, 431}


@SMALL
@given(st.sampled_from(WHOLE), st.lists(st.integers(0, 500), min_size=1, max_size=30))
def test_pieces_do_not_change_an_answer(site: Site, whole: bytes, cuts: list[int]) -> None:
    """However a good request is cut, what comes back has the same statuses."""
    sent = whole + ALIVE + b"Connection: close\r\n\r\n"
    assert talk(site, sent, cuts, pause_s=5.0) == talk(site, sent, [], pause_s=5.0)


def test_nothing_of_this_was_an_error_of_the_server(site: Site) -> None:
    """Its log knows no traceback, its metrics no internal error."""
    assert "Traceback" not in site.log.read_text()
    assert "internal_error" not in site.metrics
