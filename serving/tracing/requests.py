"""An HTTP request in the words of OpenTelemetry's semantic conventions."""

from __future__ import annotations

from urllib.parse import urlsplit

from opentelemetry.semconv.attributes.client_attributes import CLIENT_ADDRESS
from opentelemetry.semconv.attributes.http_attributes import (
    HTTP_REQUEST_METHOD,
    HTTP_REQUEST_METHOD_ORIGINAL,
)
from opentelemetry.semconv.attributes.network_attributes import NETWORK_PROTOCOL_VERSION
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT
from opentelemetry.semconv.attributes.url_attributes import URL_PATH, URL_SCHEME
from opentelemetry.semconv.attributes.user_agent_attributes import USER_AGENT_ORIGINAL
from opentelemetry.util.types import AttributeValue
from starlette.datastructures import Headers
from starlette.types import Scope

_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE"})
_OTHER = "_OTHER"
_LONGEST = 256


def method_of(scope: Scope) -> str:
    """The method as a span is named by it: one of few."""
    return scope["method"] if scope["method"] in _METHODS else "HTTP"


def request_attributes(scope: Scope, headers: Headers) -> dict[str, AttributeValue]:
    """What is known when it comes in; samplers see this.

    Args:
        scope: the request's; its query string, which may hold anything, is left out.
        headers: the request's.
    """
    method = scope["method"]
    found: dict[str, AttributeValue] = {
        HTTP_REQUEST_METHOD: method if method in _METHODS else _OTHER,
        URL_PATH: scope["path"][:_LONGEST],
        URL_SCHEME: scope["scheme"],
        NETWORK_PROTOCOL_VERSION: scope["http_version"],
    }
    if method not in _METHODS:
        found[HTTP_REQUEST_METHOD_ORIGINAL] = method[:_LONGEST]
    if "user-agent" in headers:
        found[USER_AGENT_ORIGINAL] = headers["user-agent"][:_LONGEST]
    if scope.get("client"):
        found[CLIENT_ADDRESS] = scope["client"][0]
    address, port = _server(scope, headers)
    if address:
        found[SERVER_ADDRESS] = address[:_LONGEST]
    if port:
        found[SERVER_PORT] = port
    return found


def _server(scope: Scope, headers: Headers) -> tuple[str | None, int | None]:
    """Whom the client has asked, as it says itself, else where it was heard."""
    try:
        asked = urlsplit(f"//{headers.get('host', '')}")
        if asked.hostname:
            return asked.hostname, asked.port
    except ValueError:  # no address at all
        pass
    address, port = scope.get("server") or (None, None)
    return address, port
