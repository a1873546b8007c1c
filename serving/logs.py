"""Log lines: readable on a terminal, JSON elsewhere; each carries its request id."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Iterable
from contextvars import ContextVar, Token
from itertools import islice
from typing import Literal

import orjson

NOBODY = "-"
request_id_var: ContextVar[str] = ContextVar("request_id", default=NOBODY)
trace_id_var: ContextVar[str] = ContextVar("trace_id", default="")
_batch_var: ContextVar[Callable[[], Iterable[str]] | None] = ContextVar("batch", default=None)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"request_id", "message", "asctime"}
_QUIET = ("uvicorn.access", "httpx", "httpx2", "watchfiles", "opentelemetry")
_MAX_IDS = 4
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""What would begin another line, or steer a terminal."""


class About:
    """What a thread logs inside the block belongs to a request.

    Args:
        request_id, trace_id: of the request.
    """

    __slots__ = ("_names", "_tokens")

    def __init__(self, request_id: str, trace_id: str = "") -> None:
        self._names = request_id or NOBODY, trace_id

    def __enter__(self) -> None:
        request_id, trace_id = self._names
        self._tokens = request_id_var.set(request_id), trace_id_var.set(trace_id)

    def __exit__(self, *_: object) -> None:
        request_id_token, trace_id_token = self._tokens
        request_id_var.reset(request_id_token)
        trace_id_var.reset(trace_id_token)


class AboutBatch:
    """What a lane logs inside the block belongs to some of the requests in a batch.

    Args:
        request_ids: gives their ids; asked when something is logged.
    """

    __slots__ = ("_request_ids", "_token")
    _token: Token[Callable[[], Iterable[str]] | None]

    def __init__(self, request_ids: Callable[[], Iterable[str]]) -> None:
        self._request_ids = request_ids

    def __enter__(self) -> None:
        self._token = _batch_var.set(self._request_ids)

    def __exit__(self, *_: object) -> None:
        _batch_var.reset(self._token)


class RequestIdFilter(logging.Filter):
    """Puts the current request's id on every record, and its trace's where there is one."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true: the record is kept."""
        if not hasattr(record, "request_id"):
            record.request_id = _current_id()
        trace_id = trace_id_var.get()
        if trace_id:
            record.trace_id = trace_id
        return True


def _current_id() -> str:
    """The request's; in a batch those of the first few."""
    request_ids = _batch_var.get()
    if request_id_var.get() != NOBODY or request_ids is None:
        return request_id_var.get()
    first = list(islice(dict.fromkeys(filter(None, request_ids())), _MAX_IDS + 1))
    shown = ",".join(first[:_MAX_IDS]) or NOBODY
    return f"{shown},…" if len(first) > _MAX_IDS else shown


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
            "request_id": getattr(record, "request_id", NOBODY),
            **_extra(record),
        }
        if record.exc_info:
            members["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(members, default=str).decode()


class TextFormatter(logging.Formatter):
    """A short line for people.

    Args:
        form: of the line, before its `extra` members.
    """

    def __init__(
        self, form: str = "%(asctime)s %(levelname)-7s [%(request_id)s] %(message)s"
    ) -> None:
        super().__init__(form, "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """The line with `extra` members at its end; nothing that was asked begins another line."""
        extra = " ".join(f"{name}={_quoted(value)}" for name, value in _extra(record).items())
        message = _CONTROL.sub(_escaped, super().formatMessage(record))
        return f"{message} {extra}".rstrip()


def _quoted(value: object) -> str:
    """As it is where it is one plain word, else as a JSON string."""
    text = str(value)
    return text if text.isprintable() and not {" ", '"'} & set(text) else json.dumps(text)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _extra(record: logging.LogRecord) -> dict[str, object]:
    own = vars(record).items()  # libraries that mark records begin their marks with a line
    return {name: value for name, value in own if name not in _STANDARD and name[0] != "_"}


def set_up_logs(form: Literal["auto", "text", "json"], level: str) -> None:
    """Send all log lines to standard error in one form. Replaces earlier set-up."""
    stream = _stream(form)
    stream.addFilter(RequestIdFilter())
    root = logging.getLogger()
    root.handlers[:] = [stream]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _stream(form: Literal["auto", "text", "json"]) -> logging.Handler:
    if form != "json" and sys.stderr.isatty():
        return _on_terminal()
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(TextFormatter() if form == "text" else JsonFormatter())
    return stream


def _on_terminal() -> logging.Handler:
    """Lines with colours, unless NO_COLOR is set."""
    from rich.console import Console
    from rich.logging import RichHandler

    stream = RichHandler(
        console=Console(stderr=True),
        show_path=False,
        omit_repeated_times=False,
        log_time_format="%H:%M:%S",
    )
    stream.setFormatter(TextFormatter("[%(request_id)s] %(message)s"))
    return stream
