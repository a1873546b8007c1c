"""What the command line says where it gets no answer, by real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from adapter_runtime import SettingsError
from serving.access import Access
from serving.remote import Remote
from tests.commands.conftest import Secured
from tests.commands.started import Started
from tests.running import free_port


@contextmanager
def listener(words: bytes) -> Iterator[int]:
    """Says the same to its first caller, whatever is asked, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            caller, _ = server.accept()
            with caller:
                caller.recv(4096)
                caller.sendall(words)

        thread = threading.Thread(target=answer)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def why(url: str) -> str:
    """What is said when tasks are asked for."""
    with Remote(Access(url)) as remote, pytest.raises(SettingsError) as raised:
        remote.tasks()
    return str(raised.value)


def test_a_port_without_a_server() -> None:
    """The address without the path that was asked, the reason in words, and the options."""
    url = f"http://127.0.0.1:{free_port()}"
    said = why(url)
    assert said.startswith(f"No server answers at {url} (Connection refused)")
    assert "--url, POLYHEAD_URL" in said


def test_tls_where_none_is_spoken(plain: Started) -> None:
    """The scheme is wrong."""
    assert "write http:// in place of https://" in why(plain.url.replace("http:", "https:"))


def test_no_tls_where_it_is_spoken(secured: Secured) -> None:
    """The scheme may be wrong."""
    assert "write https://" in why(secured.url.replace("https:", "http:"))


@pytest.mark.parametrize("make", (lambda url: f"{url}/", lambda url: f"{url}/below"))
def test_another_program(make: Callable[[str], str]) -> None:
    """It answers something else."""
    page = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\n<hi>"
    with listener(page) as port:
        said = why(make(f"http://127.0.0.1:{port}"))
    assert said.startswith(f"http://127.0.0.1:{port} answers, but not as Polyhead does")


def test_what_is_no_address() -> None:
    """How one is written."""
    assert "http://host:port" in why("http://[::1")
