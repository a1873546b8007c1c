"""What one connection, and all together, may take."""

from __future__ import annotations

import resource
from dataclasses import dataclass

from serving.settings import Settings

_KEPT_FILES = 256
"""Files that the rest of the process needs: checkpoints, threads' pipes, clients of hubs."""
_FEWEST = 16
_LINGER_S = 5.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of connections.

    Args:
        header_s: seconds until a request's head is there.
        transfer_s: seconds over which a body, or the reading of an answer, must keep its pace.
        bytes_per_s: that pace.
        idle_s: seconds that a connection may stay open between requests.
        header_bytes: the longest head; likewise what surrounds a body's chunks.
        connections: open at once.
        held_bytes: of bodies that are held, of all connections; likewise of unread answers.
    """

    header_s: float = 20.0
    transfer_s: float = 30.0
    bytes_per_s: float = 4096.0
    idle_s: float = 75.0
    header_bytes: int = 32 << 10
    connections: int = 4096
    held_bytes: int = 256 << 20

    @property
    def linger_s(self) -> float:
        """How long a client who still sends what was refused is heard: else it reads no answer."""
        return min(_LINGER_S, self.transfer_s)


def bounds_of(settings: Settings) -> Bounds:
    """The bounds that the settings ask for, as far as the system has files for connections."""
    return Bounds(
        header_s=settings.header_timeout_s,
        transfer_s=settings.transfer_timeout_s,
        bytes_per_s=settings.min_bytes_per_s,
        idle_s=settings.keep_alive_s,
        header_bytes=settings.max_header_bytes,
        connections=_allowed(settings.max_connections),
        held_bytes=settings.max_held_bytes,
    )


def _allowed(connections: int) -> int:
    """So many, or what the limit of open files leaves: without files nobody is let in at all."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _KEPT_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if raised > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return max(_FEWEST, min(connections, max(raised, soft) - _KEPT_FILES))
