"""Why a server could not be asked, in words that say what to do."""

from __future__ import annotations

import re

import httpx2

from adapter_runtime import SettingsError

_SYSTEM = re.compile(r"^\[Errno -?\d+\] ")
_HINTS = (
    " If it speaks TLS, write https://.",
    " If it takes only certificates that it knows, give yours with --cert.",
)
"""Where a connection was cut: in the clear, and under TLS."""


def no_answer(url: str, error: Exception) -> SettingsError:
    """What to say where no server of ours answers.

    Args:
        url: what was asked.
        error: what came of it.
    """
    return SettingsError(_said("/".join(url.split("/", 3)[:3]), error))


def _said(server: str, error: Exception) -> str:
    shown = _SYSTEM.sub("", str(error)) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in shown:
        return f"{server}: its certificate is not trusted; name its authority's file with --cacert."
    if "WRONG_VERSION_NUMBER" in shown:
        return f"{server} speaks no TLS: write http:// in place of https://."
    if isinstance(error, httpx2.HTTPError):
        is_cut = isinstance(error, httpx2.RemoteProtocolError | httpx2.ReadError)
        hint = _HINTS[server.startswith("https:")] if is_cut else ""
        return (
            f"No server answers at {server} ({shown}): is the server running, and is this its "
            f"address (--url, POLYHEAD_URL)?{hint}"
        )
    if isinstance(error, httpx2.InvalidURL | UnicodeError):
        return f"{server}: {shown}; write the server's address as http://host:port."
    return f"{server} answers, but not as Polyhead does ({shown}): is the server running elsewhere?"
