"""A port that closes lets in who stands at the door, and nobody after them."""

from __future__ import annotations

import socket
import sys

import pytest

from serving.doors import has_queue, refuse_newcomers


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can close a door half")
@pytest.mark.parametrize(
    ("family", "address", "client"),
    (
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET6, "::1", "::1"),
        (socket.AF_INET6, "::", "127.0.0.1"),
    ),
)
def test_who_is_in_the_queue_is_served_and_newcomers_are_not(
    family: socket.AddressFamily, address: str, client: str
) -> None:
    """Data of a connection from before arrives; a later one does not come about."""
    with socket.socket(family) as listener:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((address, 0))
        listener.listen()
        port = listener.getsockname()[1]
        with socket.create_connection((client, port)) as early:
            assert refuse_newcomers(listener)
            assert has_queue([listener])
            accepted, _ = listener.accept()
            with accepted:
                early.sendall(b"still here")
                assert accepted.recv(16) == b"still here"
        with pytest.raises(TimeoutError):
            socket.create_connection((client, port), timeout=0.2)
        assert not has_queue([listener])
