"""Names that a shell completes, asked of the running server."""

from __future__ import annotations

import typer

from adapter_runtime import SettingsError
from serving.commands.options import DEFAULT_URL
from serving.remote import Refused, Remote

_PATIENCE_S = 1.0
"""Somebody has pressed a key and waits."""


def complete_task(context: typer.Context, incomplete: str) -> list[str]:
    """Tasks that begin so; none where no server answers at once, and never an error."""
    try:
        with Remote(*_server(context), patience_s=_PATIENCE_S) as remote:
            names = [str(task["name"]) for task in remote.tasks()]
    except (SettingsError, Refused):
        return []
    return [name for name in names if name.startswith(incomplete)]


def _server(context: typer.Context) -> tuple[str, str | None, str | None]:
    """The address, key and authorities that stand on the line or in the environment."""
    found: dict[str, str] = {}
    at: typer.Context | None = context
    while at is not None:
        given = {name: at.params.get(name) for name in ("url", "key", "cacert")}
        found = {name: value for name, value in given.items() if value} | found
        at = at.parent  # type: ignore[assignment]  # typer's own contexts all the way up
    return found.get("url", DEFAULT_URL), found.get("key"), found.get("cacert")
