"""The command line. Importing this loads no torch; a command loads what it needs."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from adapter_runtime import PolyheadError, RejectedAdapter
from serving.commands.keys import keys_app
from serving.commands.options import JsonOption
from serving.commands.options import option as _option
from serving.commands.tasks import tasks_app

EXIT_SOME_FAILED, EXIT_NOTHING_STARTED = 1, 2
app = typer.Typer(
    name="polyhead",
    help="One frozen backbone, many tasks, any mix of them in one forward pass.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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


class Form(StrEnum):
    """What a checkpoint is rewritten as."""

    ADAPTERHUB = "adapterhub"
    SAFETENSORS = "safetensors"


Tasks = Annotated[
    str | None,
    _option("Task file, or folder (or URL) of task files or adapters.", variable="TASKS"),
]
Backbone = Annotated[
    str | None,
    _option("Backbone: folder, pkg://… or hf://…; wins over the task file.", variable="BACKBONE"),
]
DeviceOption = Annotated[Device | None, _option("Where to compute.", variable="DEVICE")]
DtypeOption = Annotated[
    Dtype | None,
    _option(
        "Numbers to compute in. auto: bfloat16 on CUDA, and for serving on CPUs that multiply it "
        "natively; else float32.",
        variable="DTYPE",
    ),
]


@app.command()
def serve(
    tasks: Tasks = None,
    backbone: Backbone = None,
    host: Annotated[str | None, _option("Address to listen on.", variable="HOST")] = None,
    port: Annotated[
        int | None, _option("Port to listen on; 0 takes a free one.", variable="PORT")
    ] = None,
    engine: Annotated[
        str | None,
        _option("What runs it: local (this process), or ray (Ray Serve).", variable="ENGINE"),
    ] = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    admin_port: Annotated[
        int | None,
        _option("Port that operators' routes move to.", "--admin-port", variable="ADMIN_PORT"),
    ] = None,
    keys: Annotated[
        str | None, _option("File of those who may come in; docs/tenancy.md.", variable="KEYS")
    ] = None,
    strict: Annotated[
        bool, _option("Refuse to start when a task is broken.", "--strict", variable="STRICT")
    ] = False,
    state_dir: Annotated[
        Path | None,
        _option("Folder for what a restart is faster with.", "--state-dir", variable="STATE_DIR"),
    ] = None,
) -> None:
    """Serve tasks over HTTP until stopped; a folder of task files can be changed meanwhile."""
    from serving.launchers import launch
    from serving.settings import load_settings

    given = {"tasks": tasks, "backbone": backbone, "host": host, "port": port, "strict": strict}
    given |= {"keys": keys, "admin_port": admin_port}
    given["state_dir"] = None if state_dir is None else str(state_dir)
    launch(load_settings(**given, engine=engine, device=device, dtype=dtype))


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


@app.command()
def plan(
    requests_per_second: Annotated[
        float,
        _option("Load of all tasks together.", "--requests-per-second", variable="LOAD"),
    ],
    tokens: Annotated[
        float | None, _option("Tokens of a request; ordinary text by default.", variable="TOKENS")
    ] = None,
    tasks_total: Annotated[
        int | None, _option("Tasks there will be; those of --tasks by default.", variable="TOTAL")
    ] = None,
    utilisation: Annotated[
        float, _option("Share of a replica to plan with.", variable="UTILISATION")
    ] = 0.6,
    resident: Annotated[
        str | None, _option("Tasks in memory: a number, or all.", variable="RESIDENT")
    ] = None,
    spare: Annotated[int, _option("Replicas that may be lost.", variable="SPARE")] = 1,
    zipf: Annotated[
        float, _option("How unevenly tasks are asked; 0 is evenly.", variable="ZIPF")
    ] = 1.0,
    memory: Annotated[
        str | None, _option("Memory of a replica, such as 4Gi.", variable="MEMORY")
    ] = None,
    seconds: Annotated[float, _option("Seconds to measure for.", variable="SECONDS")] = 60.0,
    figures: Annotated[Path | None, _option("Work from saved figures.", variable="FIGURES")] = None,
    save_figures: Annotated[
        Path | None, _option("Save what was measured.", variable="SAVE_FIGURES")
    ] = None,
    tasks: Tasks = None,
    backbone: Backbone = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure this machine, and compute memory, throughput and replicas for a load."""
    from serving.planning.command import plan as run
    from serving.planning.wishes import ORDINARY_TOKENS, Wishes, read_resident, read_size
    from serving.settings import load_settings

    wishes = Wishes(
        requests_per_s=requests_per_second,
        tokens=ORDINARY_TOKENS if tokens is None else tokens,
        tasks_total=tasks_total,
        utilisation=utilisation,
        resident=read_resident(resident),
        spare=spare,
        zipf=zipf,
        memory=None if memory is None else read_size(memory),
    )
    settings = load_settings(tasks=tasks, backbone=backbone, device=device, dtype=dtype)
    run(
        settings,
        wishes,
        seconds=seconds,
        saved=figures,
        save_to=save_figures,
        as_json=as_json,
    )


app.add_typer(tasks_app, name="tasks")
app.add_typer(keys_app, name="keys")


def main() -> None:
    """Run a command; what could not start is one line on standard error and exit 2."""
    try:
        app()
    except PolyheadError as error:
        print(f"polyhead: {error}", file=sys.stderr)  # noqa: T201 - a command's own output
        sys.exit(EXIT_NOTHING_STARTED)


if __name__ == "__main__":
    main()
