"""The port of the gRPC server, in the event loop of the HTTP server, which it stops with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
from starlette.types import ASGIApp

from adapter_runtime import SettingsError
from serving.protocols.oip_grpc.asking import Asker
from serving.protocols.oip_grpc.servicer import OipServicer
from serving.settings import Settings

_MESSAGE_BYTES = 64 << 10
"""Room in a message for what is no text."""


class GrpcDoor:
    """A gRPC server in front of the application.

    Args:
        app: answers.
        settings: address, certificate, limits.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._server: Any = None
        self.port = 0

    async def start(self) -> None:
        """Take the port and answer.

        Raises:
            SettingsError: the port cannot be had.
        """
        settings = self._settings
        limit = settings.max_body_bytes + _MESSAGE_BYTES
        options = [
            ("grpc.max_receive_message_length", limit),
            ("grpc.max_metadata_size", settings.max_header_bytes),
            ("grpc.so_reuseport", 0),
        ]
        # More calls than may be inside would only be held in memory until they are refused.
        self._server = grpc.aio.server(
            options=options, maximum_concurrent_rpcs=settings.max_requests
        )
        self.port = self._bound()
        scheme = "http" if settings.ssl_certfile is None else "https"
        asker = Asker(self._app, (settings.host, self.port), scheme)
        self._server.add_generic_rpc_handlers((OipServicer(asker).methods(),))
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        """Take no new calls, and wait for those inside.

        Args:
            grace_s: seconds until they are ended.
        """
        if self._server is not None:
            await self._server.stop(grace_s)

    def _bound(self) -> int:
        host = self._settings.host
        place = f"[{host}]" if ":" in host else host
        address = f"{place}:{self._settings.grpc_port}"
        certificates = credentials(self._settings)
        try:
            if certificates is None:
                return int(self._server.add_insecure_port(address))
            return int(self._server.add_secure_port(address, certificates))
        except RuntimeError as error:
            message = f"Cannot listen on {address} for gRPC; choose another with --grpc-port."
            raise SettingsError(message) from error


def credentials(settings: Settings) -> Any:
    """The certificate, and whose certificates are taken; None: no TLS.

    Raises:
        SettingsError: the key has a password, which gRPC does not take.
    """
    if settings.ssl_certfile is None:
        return None
    if settings.ssl_keyfile_password:
        raise SettingsError("gRPC takes no private key with a password; give --ssl-keyfile one.")
    chain = Path(settings.ssl_certfile).read_bytes()
    key = chain if settings.ssl_keyfile is None else Path(settings.ssl_keyfile).read_bytes()
    authorities = settings.ssl_ca_certs and Path(settings.ssl_ca_certs).read_bytes()
    return grpc.ssl_server_credentials([(key, chain)], authorities or None, bool(authorities))
