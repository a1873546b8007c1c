"""`polyhead tasks`: what a running server serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import orjson
from rich.console import Console
from rich.table import Table

from adapter_runtime import SettingsError

_TIMEOUT_S = 10.0
_COLUMNS = ("name", "kind", "state", "version", "residency", "labels", "reason")


def fetch_tasks(url: str) -> list[dict[str, Any]]:
    """The tasks of the server at a URL. Blocks.

    Raises:
        SettingsError: no server answers there.
    """
    if not url.startswith(("http://", "https://")):
        raise SettingsError(f"{url}: write the server's address as http://host:port.")
    address = f"{url.rstrip('/')}/tasks"
    try:
        with urlopen(address, timeout=_TIMEOUT_S) as response:  # noqa: S310 - scheme checked above
            tasks: list[dict[str, Any]] = orjson.loads(response.read())["tasks"]
            return tasks
    except (HTTPError, URLError, TimeoutError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{address} gave no list of tasks ({error}); is the server running?"
        ) from error


def tasks_json(tasks: Sequence[dict[str, Any]]) -> str:
    """The tasks as JSON."""
    return orjson.dumps({"tasks": tasks}, option=orjson.OPT_INDENT_2).decode()


def tasks_table(tasks: Sequence[dict[str, Any]]) -> None:
    """Print the tasks as a table."""
    table = Table(*_COLUMNS)
    for task in tasks:
        table.add_row(*(_cell(task.get(column)) for column in _COLUMNS))
    Console().print(table)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value[:6]) + (" …" if len(value) > 6 else "")
    return "" if value is None else str(value)
