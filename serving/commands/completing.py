"""Names that a shell completes, asked of the running server."""

from __future__ import annotations

from dataclasses import fields

import typer

from adapter_runtime import SettingsError
from serving.access import Access
from serving.commands.reaching import DEFAULT_URL
from serving.remote import Refused, Remote

_PATIENCE_S = 1.0
"""Somebody has pressed a key and waits."""


def complete_task(context: typer.Context, incomplete: str) -> list[str]:
    """Tasks that begin so; none where no server answers at once, and never an error."""
    try:
        with Remote(_access(context), patience_s=_PATIENCE_S) as remote:
            names = [str(task["name"]) for task in remote.tasks()]
    except (SettingsError, Refused):
        return []
    return [name for name in names if name.startswith(incomplete)]


def _access(context: typer.Context) -> Access:
    """What stands on the line, or else in the environment."""
    found: dict[str, str] = {}
    at: typer.Context | None = context
    while at is not None:
        given = {each.name: at.params.get(each.name) for each in fields(Access)}
        found = {name: value for name, value in given.items() if value} | found
        at = at.parent  # type: ignore[assignment]  # typer's own contexts all the way up
    return Access(**{"url": DEFAULT_URL} | found)
