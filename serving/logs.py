"""Log lines: readable on a terminal, JSON elsewhere; each carries its request id."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from typing import Literal

import orjson

request_id_var: ContextVar[str] = ContextVar("request_id", default="-")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"request_id", "message", "asctime"}
_QUIET = ("uvicorn.access", "httpx", "httpx2", "watchfiles")


class RequestIdFilter(logging.Filter):
    """Puts the current request's id on every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true: the record is kept."""
        if not hasattr(record, "request_id"):
            record.request_id = request_id_var.get()
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object per line; `extra` members are kept."""

    def format(self, record: logging.LogRecord) -> str:
        """The line without its end."""
        members = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            # A checkpoint's or a task file's text may hold what UTF-8 cannot.
            "message": record.getMessage().encode(errors="backslashreplace").decode(),
            "request_id": getattr(record, "request_id", "-"),
            **_extra(record),
        }
        if record.exc_info:
            members["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(members, default=str).decode()


class TextFormatter(logging.Formatter):
    """A short line for people."""

    def __init__(self) -> None:
        form = "%(asctime)s %(levelname)-7s [%(request_id)s] %(message)s"
        super().__init__(form, "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """The line with `extra` members at its end."""
        extra = " ".join(f"{name}={value}" for name, value in _extra(record).items())
        return f"{super().formatMessage(record)} {extra}".rstrip()


def _extra(record: logging.LogRecord) -> dict[str, object]:
    own = vars(record).items()  # libraries that mark records begin their marks with a line
    return {name: value for name, value in own if name not in _STANDARD and name[0] != "_"}


def set_up_logs(form: Literal["auto", "text", "json"], level: str) -> None:
    """Send all log lines to standard error in one form. Replaces earlier set-up."""
    stream = logging.StreamHandler(sys.stderr)
    is_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    stream.setFormatter(TextFormatter() if is_text else JsonFormatter())
    stream.addFilter(RequestIdFilter())
    root = logging.getLogger()
    root.handlers[:] = [stream]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
