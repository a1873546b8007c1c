"""How options of all commands are declared, and those that several have."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer


def option(
    text: str,
    *names: str,
    variable: str,
    panel: str | None = None,
    at_least: float | None = None,
) -> Any:
    """An option that is also the environment variable `POLYHEAD_<variable>`.

    Args:
        text: what it does.
        names: how it is written; by default as the argument.
        panel: the group that it stands in where a command's help has groups.
        at_least: the smallest number that it takes.
    """
    variable = f"POLYHEAD_{variable}"
    return typer.Option(*names, help=text, envvar=variable, rich_help_panel=panel, min=at_least)


class Device(StrEnum):
    """Where the backbone runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Dtype(StrEnum):
    """In which numbers the backbone computes; `auto` by the rule of docs/performance.md."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"


JsonOption = Annotated[bool, option("Print JSON.", "--json", variable="JSON")]
Tasks = Annotated[
    str | None,
    option("Task file, or folder (or URL) of task files or adapters.", variable="TASKS"),
]
Backbone = Annotated[
    str | None,
    option("Backbone: folder, pkg://… or hf://…; wins over the task file.", variable="BACKBONE"),
]
DeviceOption = Annotated[Device | None, option("Where to compute.", variable="DEVICE")]
DtypeOption = Annotated[
    Dtype | None,
    option(
        "Numbers to compute in. auto: bfloat16 on CUDA, and for serving on CPUs that multiply it "
        "natively; else float32.",
        variable="DTYPE",
    ),
]
