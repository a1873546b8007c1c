"""Connections under TLS: the server's certificate, and whose certificates it takes."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from adapter_runtime import SettingsError

if TYPE_CHECKING:  # clients need no settings of a server
    from serving.settings import Settings


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """What a server's connections are wrapped in; None: nothing is.

    Raises:
        SettingsError: a file is missing or broken, or the key is not the certificate's.
    """
    if settings.ssl_certfile is None:
        if settings.ssl_keyfile or settings.ssl_ca_certs:
            raise SettingsError("TLS wants a certificate too: give --ssl-certfile.")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # Without a password openssl would ask for one at the terminal, where nobody may sit.
    password = settings.ssl_keyfile_password or ""
    try:
        context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile, password)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{settings.ssl_certfile}: no certificate with its key can be had from there and "
            f"{settings.ssl_keyfile or 'the same file'} ({said(error)}); see --ssl-certfile, "
            "--ssl-keyfile and --ssl-keyfile-password."
        ) from error
    if settings.ssl_ca_certs is not None:
        _ask_for_certificates(context, settings.ssl_ca_certs)
    return context


def _ask_for_certificates(context: ssl.SSLContext, authorities: str) -> None:
    """Only clients whose certificate an authority has signed come in."""
    try:
        context.load_verify_locations(authorities)
    except OSError as error:
        raise SettingsError(
            f"{authorities}: no certificates can be read there ({said(error)}); see --ssl-ca-certs."
        ) from error
    context.verify_mode = ssl.CERT_REQUIRED


def said(error: Exception) -> str:
    """The reason that stands in an error of files or of openssl."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not in PEM").replace("_", " ").lower()
    return getattr(error, "strerror", None) or str(error)
