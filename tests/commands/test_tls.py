"""A server under TLS: who can talk to it, and what it refuses to start with."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from adapter_runtime import SettingsError
from serving.access import Access
from serving.settings import load_settings
from serving.tls import tls_context
from tests.commands.conftest import Secured, authority_in
from tests.commands.started import polyhead, started_server


def ask(url: str, authority: str, certificate: str | None = None) -> int:
    """The status that a client is answered who trusts an authority."""
    trust = ssl.create_default_context(cafile=authority)
    if certificate is not None:
        trust.load_cert_chain(certificate)
    with httpx.Client(verify=trust) as client:
        return client.get(f"{url}/health/live").status_code


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A certificate with its key, that key under the password x, another key, and plain text."""
    (tmp_path / "text.pem").write_text("no certificate")
    issuer = trustme.CA()
    one, other = issuer.issue_cert("a"), issuer.issue_cert("b")
    one.private_key_and_cert_chain_pem.write_to_path(tmp_path / "all.pem")
    other.private_key_pem.write_to_path(tmp_path / "other.pem")
    key = load_pem_private_key(one.private_key_pem.bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    (tmp_path / "locked.pem").write_bytes(locked)
    return tmp_path


def test_server_with_a_certificate_answers_under_tls(secured: Secured) -> None:
    """It says so in its address; who trusts another authority breaks off."""
    assert secured.url.startswith("https://")
    assert ask(secured.url, secured.authority.file) == 200
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{secured.url}/health/live")


def test_plain_request_to_a_tls_port_is_cut_off_and_harms_nobody(secured: Secured) -> None:
    """Nothing is answered in the clear."""
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(secured.url.replace("https", "http") + "/health/live")
    assert ask(secured.url, secured.authority.file) == 200


def test_server_with_authorities_takes_only_their_clients(tmp_path: Path) -> None:
    """The others are cut off before any request."""
    ours, others = authority_in(tmp_path / "ours"), authority_in(tmp_path / "others")
    variables = {"POLYHEAD_SSL_CERTFILE": ours.signed, "POLYHEAD_SSL_CA_CERTS": ours.file}
    with started_server(tmp_path, variables) as server:
        assert ask(server.url, ours.file, ours.signed) == 200
        for certificate in (None, others.signed):
            with pytest.raises(httpx.TransportError):
                ask(server.url, ours.file, certificate)


def test_commands_show_their_certificate(tmp_path: Path) -> None:
    """By option or variable, asking and loading; without one the option is named."""
    ours = authority_in(tmp_path / "ours")
    variables = {"POLYHEAD_SSL_CERTFILE": ours.signed, "POLYHEAD_SSL_CA_CERTS": ours.file}
    with started_server(tmp_path, variables) as server:
        at = {"POLYHEAD_URL": server.url, "POLYHEAD_CACERT": ours.file}
        assert polyhead("tasks", "list", "--cert", ours.signed, variables=at).returncode == 0
        shown = at | {"POLYHEAD_CERT": ours.signed}
        assert polyhead("predict", "topic", "a text", variables=shown).returncode == 0
        assert polyhead("bench", "--seconds", "0.1", variables=shown).returncode == 0
        refused = polyhead("tasks", variables=at)
    assert refused.returncode == 2
    assert "give yours with --cert" in refused.stderr


@pytest.mark.parametrize(
    ("given", "named"),
    (
        ({"cert": "missing.pem"}, "No such file.*--cert,"),
        ({"cert": "text.pem"}, "no certificate with its key"),
        ({"cert": "all.pem", "cert_key": "other.pem"}, "key values mismatch"),
        ({"cert": "all.pem", "cert_key": "locked.pem"}, "--cert-key-password"),
        ({"cert": "all.pem", "cacert": "text.pem"}, "--cacert"),
        ({"cert_key": "all.pem"}, "give --cert"),
    ),
)
def test_broken_certificate_of_a_client_is_told_without_asking(
    files: Path, given: dict[str, str], named: str
) -> None:
    """One sentence that names the option; no password is asked for."""
    access = Access("https://a", **{name: str(files / value) for name, value in given.items()})
    with pytest.raises(SettingsError, match=named):
        access.trust()


def test_private_key_of_a_client_may_have_a_password(files: Path) -> None:
    """It is given, not asked for."""
    locked = str(files / "locked.pem")
    Access("https://a", cert=str(files / "all.pem"), cert_key=locked, cert_key_password="x").trust()


def test_server_under_tls_ends_while_a_client_keeps_its_connection(tmp_path: Path) -> None:
    """A client who is asleep says no goodbye; the server does not wait for it."""
    ours = authority_in(tmp_path / "ours")
    trust = ssl.create_default_context(cafile=ours.file)
    with httpx.Client(verify=trust) as client:
        with started_server(tmp_path, {"POLYHEAD_SSL_CERTFILE": ours.signed}) as server:
            assert client.get(f"{server.url}/health/live").status_code == 200
        assert server.process.returncode == 0


@pytest.mark.parametrize(
    ("given", "named"),
    (
        ({"ssl_certfile": "missing.pem"}, "No such file.*--ssl-certfile"),
        ({"ssl_certfile": "text.pem"}, "no certificate with its key"),
        ({"ssl_certfile": "all.pem", "ssl_keyfile": "other.pem"}, "key values mismatch"),
        ({"ssl_certfile": "all.pem", "ssl_ca_certs": "text.pem"}, "--ssl-ca-certs"),
        ({"ssl_keyfile": "all.pem"}, "give --ssl-certfile"),
    ),
)
def test_broken_files_are_told_before_anything_slow(
    files: Path, given: dict[str, Any], named: str
) -> None:
    """One sentence that names the option."""
    found = {name: str(files / value) for name, value in given.items()}
    with pytest.raises(SettingsError, match=named):
        tls_context(load_settings(**found))


def test_serve_with_a_broken_certificate_ends_with_2(tmp_path: Path) -> None:
    """Without waiting for the backbone."""
    (tmp_path / "text.pem").write_text("no certificate")
    done = polyhead("serve", "--ssl-certfile", str(tmp_path / "text.pem"))
    assert done.returncode == 2
    assert "--ssl-certfile" in done.stderr
