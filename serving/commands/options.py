"""How options of all commands are declared."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def option(text: str, *names: str, variable: str) -> Any:
    """An option that is also the environment variable `POLYHEAD_<variable>`."""
    return typer.Option(*names, help=text, envvar=f"POLYHEAD_{variable}")


JsonOption = Annotated[bool, option("Print JSON.", "--json", variable="JSON")]
