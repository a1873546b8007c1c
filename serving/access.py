"""Where a running server is, how it is entered, and whom a client believes there."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from adapter_runtime import SettingsError
from serving.tls import said


@dataclass(frozen=True, slots=True)
class Access:
    """A running server, as a client reaches it.

    Args:
        url: such as `http://127.0.0.1:8080`.
        key: the secret of a key, where the server wants one.
        cacert: file with the authorities that its certificate is held against, in PEM; None: those
            that the system trusts.
        cert, cert_key: the client's own certificate (with its chain) and its private key, in PEM,
            where the server wants one. The key may stand in the certificate's file.
        cert_key_password: of the private key, if it has one.
    """

    url: str
    key: str | None = field(default=None, repr=False)
    cacert: str | None = None
    cert: str | None = None
    cert_key: str | None = None
    cert_key_password: str | None = field(default=None, repr=False)

    def address(self) -> str:
        """The address without a slash at its end.

        Raises:
            SettingsError: it is none.
        """
        if not self.url.startswith(("http://", "https://")):
            raise SettingsError(f"{self.url}: write the server's address as http://host:port.")
        return self.url.rstrip("/")

    def headers(self) -> dict[str, str]:
        """What every request says.

        Raises:
            SettingsError: no key looks so.
        """
        if self.key and not (self.key.isascii() and self.key.isprintable()):
            raise SettingsError(
                "The key holds what no key does: was it copied whole? See POLYHEAD_KEY."
            )
        return {"content-type": "application/json"} | ({"x-api-key": self.key} if self.key else {})

    def trust(self) -> ssl.SSLContext | bool:
        """Whose certificates are believed, and the one that is shown.

        Raises:
            SettingsError: a file is missing or broken, or the key is not the certificate's.
        """
        if self.cert is None and (self.cert_key or self.cert_key_password):
            raise SettingsError("A key wants its certificate too: give --cert.")
        if self.cacert is None and self.cert is None:
            # Without TLS nobody is believed, and the system's authorities need not be read.
            is_tls = self.url.startswith("https")
            return True if is_tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context = ssl.create_default_context(cafile=self.cacert)
        except OSError as error:
            raise SettingsError(
                f"{self.cacert}: no certificates can be read there ({said(error)}); see --cacert."
            ) from error
        if self.cert is not None:
            self._show(context, self.cert)
        return context

    def _show(self, context: ssl.SSLContext, cert: str) -> None:
        # Without a password openssl would ask for one at the terminal, where nobody may sit.
        password = self.cert_key_password or ""
        try:
            context.load_cert_chain(cert, self.cert_key, password)
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"{cert}: no certificate with its key can be had from there and "
                f"{self.cert_key or 'the same file'} ({said(error)}); see --cert, --cert-key and "
                "--cert-key-password."
            ) from error
