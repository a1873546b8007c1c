"""The command line. Importing this loads no torch; a command loads what it needs."""

from __future__ import annotations

import errno
import sys
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from adapter_runtime import PolyheadError, RejectedAdapter
from serving.commands.bench import bench
from serving.commands.keys import keys_app
from serving.commands.options import Backbone, DeviceOption, DtypeOption, JsonOption, Tasks
from serving.commands.options import option as _option
from serving.commands.plan import plan
from serving.commands.predict import predict
from serving.commands.serve import serve
from serving.commands.tasks import tasks_app
from serving.commands.top import top

EXIT_SOME_FAILED, EXIT_NOTHING_STARTED = 1, 2
app = typer.Typer(
    name="polyhead",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"polyhead {version('polyhead')}")
        raise typer.Exit


@app.callback()
def polyhead(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """One frozen backbone, many tasks, any mix of them in one forward pass."""


class Form(StrEnum):
    """What a checkpoint is rewritten as."""

    ADAPTERHUB = "adapterhub"
    SAFETENSORS = "safetensors"


app.command()(serve)


@app.command()
def batch(
    source: Annotated[
        Path, _option("Input: .jsonl, .csv or .parquet.", "--input", variable="INPUT")
    ],
    target: Annotated[
        Path, _option("Output: .jsonl, .csv or .parquet.", "--output", variable="OUTPUT")
    ],
    tasks: Tasks = None,
    backbone: Backbone = None,
    task: Annotated[
        str | None, _option("Task of lines that name none.", "--task", variable="TASK")
    ] = None,
    raw: Annotated[bool, _option("Add logits or hidden states.", "--raw", variable="RAW")] = False,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
) -> None:
    """Score a file of inputs: exit 0 all answered, 1 some failed, 2 nothing could start."""
    from serving.batch.command import batch as run
    from serving.settings import load_settings

    settings = load_settings(tasks=tasks, backbone=backbone, device=device, dtype=dtype)
    num_failed = run(source, target, settings, task, raw)
    if num_failed:
        raise typer.Exit(EXIT_SOME_FAILED)


@app.command()
def check(
    source: Annotated[
        str,
        typer.Argument(
            help="Adapter or head: folder, pkg://… or hf://…; or a composition of them, such as "
            "'{average: [./a, ./b]}'."
        ),
    ],
    backbone: Backbone = None,
    option: Annotated[
        list[str] | None,
        _option("Task option as name=value; repeat for more.", "--option", variable="OPTION"),
    ] = None,
    kind: Annotated[
        str | None, _option("Task kind to check for, such as feature-extraction.", variable="KIND")
    ] = None,
    as_json: JsonOption = False,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
) -> None:
    """Check a checkpoint or a composition: exit 0 accepted, 1 rejected, 2 could not run."""
    import orjson

    from serving.check import check as run
    from serving.check import report_json, report_text
    from serving.settings import load_settings

    settings = load_settings(backbone=backbone, device=device, dtype=dtype)
    report = run(source, option or [], settings, kind=kind)
    if as_json:
        content = orjson.dumps(report_json(report), default=str, option=orjson.OPT_INDENT_2)
        typer.echo(content.decode())
    else:
        typer.echo(report_text(source, report))
    if not report.accepted:
        raise typer.Exit(EXIT_SOME_FAILED)


@app.command()
def convert(
    source: Annotated[
        str, typer.Argument(help="Adapter, fusion layer or head: folder, pkg://… or hf://….")
    ],
    target: Annotated[Path, typer.Argument(help="Folder to make.")],
    to: Annotated[Form, _option("What to write.", "--to", variable="TO")],
    backbone: Backbone = None,
    option: Annotated[
        list[str] | None,
        _option("Task option as name=value; repeat for more.", "--option", variable="OPTION"),
    ] = None,
) -> None:
    """Rewrite a checkpoint as current AdapterHub files, or with safetensors for its pickles.

    Exit 0 written and read back as the same, 1 rejected, 2 could not run.
    """
    from serving.convert import convert as run
    from serving.settings import load_settings

    try:
        names = run(source, target, to, option or [], load_settings(backbone=backbone))
    except RejectedAdapter as error:
        typer.echo(f"{source}: REJECTED", err=True)
        for problem in error.problems:
            typer.echo(f"  problem  [{problem.code}] {problem.message}", err=True)
        raise typer.Exit(EXIT_SOME_FAILED) from error
    typer.echo(f"{target}: {', '.join(names)}")


app.command()(plan)
app.command()(predict)
app.command()(top)
app.command()(bench)
app.add_typer(tasks_app, name="tasks")
app.add_typer(keys_app, name="keys")


def main() -> None:
    """Run a command; what could not start is one line on standard error and exit 2."""
    if isinstance(sys.stdout, TextIOWrapper):  # where a terminal has no such letter, an answer has
        sys.stdout.reconfigure(errors="replace")
    try:
        app()
    except PolyheadError as error:
        print(f"polyhead: {error}", file=sys.stderr)  # noqa: T201 - a command's own output
        sys.exit(EXIT_NOTHING_STARTED)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print("polyhead: there is no room to write to.", file=sys.stderr)  # noqa: T201 - as above
        sys.exit(EXIT_NOTHING_STARTED)


if __name__ == "__main__":
    main()
