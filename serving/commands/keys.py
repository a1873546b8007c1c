"""`polyhead keys`: make a key, and check a keys file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

keys_app = typer.Typer(no_args_is_help=True, help="Make keys for a server, and check a keys file.")
Many = list[str] | None


@keys_app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Shown in metrics and usage.")],
    file: Annotated[Path | None, typer.Option("--file", help="Keys file to add it to.")] = None,
    task: Annotated[Many, typer.Option("--task", help="Task or pattern; repeat for more.")] = None,
    action: Annotated[
        Many, typer.Option("--action", help="predict, admin or metrics; repeat for more.")
    ] = None,
    requests_per_minute: Annotated[
        float | None, typer.Option("--requests-per-minute", help="Quota.")
    ] = None,
    tokens_per_minute: Annotated[
        float | None, typer.Option("--tokens-per-minute", help="Quota.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", help="Requests inside at once.")
    ] = None,
    priority: Annotated[
        str | None, typer.Option("--priority", help="The highest it may ask for.")
    ] = None,
    weight: Annotated[
        float | None, typer.Option("--weight", help="Share where callers wait for each other.")
    ] = None,
    expires: Annotated[str | None, typer.Option("--expires", help="Such as 2030-01-31.")] = None,
) -> None:
    """Make a key: its secret is printed once, on standard output; the file holds its hash."""
    from serving.admission.key_entries import add_entry, checked_entry, entry_text
    from serving.admission.keys import hashed, new_secret

    secret = new_secret()
    quota = {"requests_per_minute": requests_per_minute, "tokens_per_minute": tokens_per_minute}
    given: dict[str, Any] = {"tasks": task, "actions": action, "priority": priority}
    given |= {"quota": {name: each for name, each in quota.items() if each is not None}}
    given |= {"concurrency": concurrency, "weight": weight, "expires": expires}
    fields = {field: value for field, value in given.items() if value not in (None, [], {})}
    entry = checked_entry({"name": name, "hash": hashed(secret), **fields})
    if file is None:
        typer.echo(f"# Put this below `keys:` of the keys file:\n{entry_text(entry)}", err=True)
    else:
        add_entry(file, entry)
        typer.echo(f"{file} has key {name}. Its secret is shown only now:", err=True)
    typer.echo(secret)


@keys_app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The keys file.")],
) -> None:
    """Check a keys file and list its keys: exit 0 fine, 2 broken."""
    from serving.admission.keys import read_keys

    for key in read_keys(file).by_name.values():
        ends = "  EXPIRED" if key.has_expired else ""
        typer.echo(f"{key.name:<24} {','.join(sorted(key.actions))}  {','.join(key.tasks)}{ends}")
