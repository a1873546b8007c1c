"""`polyhead tasks`: the tasks of a running server, and how to change them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from serving.access import Access
from serving.commands.calling import EXIT_REFUSED, Name, call, print_json, refusals, say
from serving.commands.entries import newest_id, read_entry
from serving.commands.following import follow
from serving.commands.options import JsonOption, option
from serving.commands.reaching import Shared, reaching, sharing
from serving.commands.versions import ACTIONS, acting, rollback, traffic
from serving.remote import Remote

tasks_app = typer.Typer(invoke_without_command=True)


@tasks_app.callback()
@reaching
def tasks(context: typer.Context, access: Access, as_json: JsonOption = False) -> None:
    """List a running server's tasks, or change them while it runs.

    The options may stand before or behind the sub-command.

    Exit 0 done, 1 refused or rejected, 2 no server.
    """
    context.obj = Shared(access, as_json)
    if context.invoked_subcommand is None:
        _list(context.obj)


@tasks_app.command("list")
@sharing
def list_all(shared: Shared) -> None:
    """List the tasks, as without a sub-command."""
    _list(shared)


def _list(shared: Shared) -> None:
    from serving.commands.tables import print_tasks

    with refusals(), Remote(shared.access) as remote:
        found = remote.tasks()
    if shared.as_json:
        print_json({"tasks": found})
    else:
        print_tasks(found)


@tasks_app.command()
@sharing
def show(shared: Shared, name: Name) -> None:
    """Show a task: its versions, what they answered, and what happened."""
    call(shared, lambda remote: remote.task(name))


File = Annotated[
    str | None,
    typer.Argument(
        metavar="FILE",
        help="Task file entry in YAML or JSON; - is standard input. With `versions:` it replaces "
        "the task.",
        show_default=False,
    ),
]
AdapterOption = Annotated[
    str | None, option("Folder here, or any Source.", "--adapter", variable="ADAPTER")
]
HeadOption = Annotated[
    str | None, option("Default: the head beside the adapter.", "--head", variable="HEAD")
]
KindOption = Annotated[str | None, option("What it answers.", "--kind", variable="KIND")]
LabelOption = Annotated[
    list[str] | None, option("A label; repeat in order.", "--label", variable="LABEL")
]
IdOption = Annotated[str | None, option("Default: digits of its digest.", "--id", variable="ID")]
WeightOption = Annotated[
    float | None, option("Share of the traffic.", "--weight", variable="WEIGHT")
]
ShadowOption = Annotated[
    bool, option("Only get copies of the traffic.", "--shadow", variable="SHADOW")
]
WaitOption = Annotated[
    bool, option("Wait until it is ready or rejected.", "--wait/--no-wait", variable="WAIT")
]


@tasks_app.command()
@sharing
def put(
    shared: Shared,
    name: Name,
    file: File = None,
    adapter: AdapterOption = None,
    head: HeadOption = None,
    kind: KindOption = None,
    label: LabelOption = None,
    id: IdOption = None,
    weight: WeightOption = None,
    shadow: ShadowOption = False,
    wait: WaitOption = True,
) -> None:
    """Make a task, or give it a new version.

    The old version answers until the new one is read and checked.

    Paths that exist here are sent absolute: the server must find them at the same place.
    """
    given: dict[str, Any] = {"adapter": adapter, "head": head, "kind": kind, "id": id}
    given |= {"labels": label or None, "weight": weight, "shadow": shadow or None}
    entry = read_entry(name, file, given)
    is_ready = True

    def send(remote: Remote) -> Mapping[str, Any]:
        """Put it, and wait for its version if asked to."""
        nonlocal is_ready
        task: Mapping[str, Any] = remote.put(name, entry)
        if wait:
            task, is_ready = follow(remote, task, newest_id(entry), say)
        return task

    call(shared, send)
    if not is_ready:
        raise typer.Exit(EXIT_REFUSED)


@tasks_app.command()
@sharing
def delete(
    shared: Shared,
    name: Name,
    version: Annotated[
        str | None, typer.Option("--version", help="Retire only this version.")
    ] = None,
) -> None:
    """Delete a task, or retire one version; what is inside is still answered."""
    call(shared, lambda remote: remote.delete(name, version))


tasks_app.command()(rollback)
tasks_app.command()(traffic)
for _action, _text in ACTIONS.items():
    tasks_app.command(_action, help=_text)(acting(_action))
