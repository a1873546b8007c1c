"""Whether requests are traced, and where spans go. Importing this needs no OpenTelemetry."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from adapter_runtime import SettingsError
from serving.settings import Settings

if TYPE_CHECKING:
    from serving.tracing.layer import Traces

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTER = "OTEL_TRACES_EXPORTER"
_PATH = "/v1/traces"


def open_traces(settings: Settings, release: str) -> Traces | None:
    """What makes spans of requests and sends them on; None where nobody asked for any.

    Args:
        settings: may name the collector.
        release: of this server.

    Raises:
        SettingsError: OpenTelemetry is not installed, or is asked for what there is not.
    """
    if not wants_traces(settings):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from serving.tracing.layer import Traces

    exporter = OTLPSpanExporter(_endpoint(settings))
    return Traces(BatchSpanProcessor(exporter), release, exporter.shutdown)


def wants_traces(settings: Settings) -> bool:
    """Whether the settings or OpenTelemetry's own variables ask for traces.

    Raises:
        SettingsError: they do, in a way that cannot be had.
    """
    exporter = _variable(_EXPORTER) or None
    if _variable("OTEL_SDK_DISABLED") == "true" or exporter == "none":
        return False
    source = _source(settings, exporter)
    if source is None:
        return False
    _check_protocol(exporter)
    if not _is_installed():
        raise SettingsError(
            f"{source} asks for traces, which need the extra `otel`: pip install 'polyhead[otel]', "
            "or unset it."
        )
    return True


def _is_installed() -> bool:
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:  # not even the packages around it
        return False


def _source(settings: Settings, exporter: str | None) -> str | None:
    """The variable that asks for traces."""
    if settings.otlp_endpoint:
        return "POLYHEAD_OTLP_ENDPOINT"
    if exporter is not None:
        return _EXPORTER
    return next((name for name in _ENDPOINTS if _variable(name)), None)


def _check_protocol(exporter: str | None) -> None:
    if exporter not in (None, "otlp"):
        raise SettingsError(f"{_EXPORTER} is {exporter!r}; there is `otlp`, or `none`.")
    protocol = next(filter(None, map(_variable, _PROTOCOLS)), "http/protobuf")
    if protocol != "http/protobuf":
        raise SettingsError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}; traces are sent as http/protobuf, which "
            "collectors take on port 4318."
        )


def _endpoint(settings: Settings) -> str | None:
    """The collector's full address; None leaves it to OpenTelemetry's variables."""
    base = settings.otlp_endpoint
    if not base:
        return None
    return base if base.endswith(_PATH) else base.rstrip("/") + _PATH


def _variable(name: str) -> str:
    return os.environ.get(name, "").strip().lower()
