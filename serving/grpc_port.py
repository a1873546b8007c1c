"""`--grpc-port`: a second door, whose library is needed only where it is asked for."""

from __future__ import annotations

from typing import Protocol

from starlette.types import ASGIApp

from adapter_runtime import SettingsError
from serving.listeners import listen
from serving.settings import Settings


class Door(Protocol):
    """A server of another protocol, in the same event loop.

    Attributes:
        port: where it listens, once it has started.
    """

    port: int

    async def start(self) -> None:
        """Take the port and answer."""
        ...

    async def stop(self, grace_s: float) -> None:
        """Take nothing new; what is inside has so many seconds to end."""
        ...


def check_grpc(settings: Settings) -> None:
    """Nothing, where gRPC is not asked for or can be had: known before anything slow.

    Raises:
        SettingsError: the extra is missing, the port is taken, or the key has a password.
    """
    if settings.grpc_port is None:
        return
    try:
        from serving.protocols.oip_grpc.door import credentials
    except ModuleNotFoundError as error:
        message = f"--grpc-port needs {error.name}: pip install 'polyhead[grpc]'."
        raise SettingsError(message) from error
    credentials(settings)
    try:
        listen(settings.host, settings.grpc_port).close()
    except SettingsError as error:
        message = f"Port {settings.grpc_port} cannot be had; choose another with --grpc-port."
        raise SettingsError(message) from error


def grpc_door(app: ASGIApp, settings: Settings) -> Door | None:
    """The door, not yet open; None: nobody has asked for one."""
    if settings.grpc_port is None:
        return None
    from serving.protocols.oip_grpc.door import GrpcDoor

    return GrpcDoor(app, settings)
