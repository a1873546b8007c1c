"""Where a server listens."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from adapter_runtime import SettingsError
from serving.settings import Settings

BACKLOG = 2048
_UNREAD_BYTES = 256 << 10


@contextmanager
def listen_all(settings: Settings) -> Iterator[list[socket.socket]]:
    """Bound sockets for the block: the clients', and the operators' if they have their own.

    Raises:
        SettingsError: an address cannot be had, or both are the same port.
    """
    places = [(settings.host, settings.port)]
    if settings.admin_port is not None:
        if settings.admin_port == settings.port != 0:
            raise SettingsError(f"--admin-port {settings.port} is the other's; choose another.")
        places.append((settings.admin_host or settings.host, settings.admin_port))
    with ExitStack() as stack:
        yield [stack.enter_context(listen(*each)) for each in places]


def listen(host: str, port: int) -> socket.socket:
    """A bound socket: taken before anything slow, so that a taken port is known at once.

    Raises:
        SettingsError: the port or address cannot be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Else the system takes megabytes of answers for each client who does not read them.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD_BYTES)
        try:
            listener.bind((host, port))
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "no such address"
        raise SettingsError(
            f"Cannot listen on {host}:{port}: {reason}; choose another with --host or --port."
        ) from error
    return listener


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """The address of a bound socket, for clients on this machine."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://{shown_host(host)}:{port}"


def shown_host(host: str) -> str:
    """An address that a client on this machine can use, for one that a server listens on."""
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
