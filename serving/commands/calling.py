"""What the sub-commands of `polyhead tasks` share: options, the call, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import orjson
import typer

from serving.commands.completing import complete_task
from serving.commands.reaching import Shared
from serving.remote import Refused, Remote

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="The task.", show_default=False, autocompletion=complete_task
    ),
]
EXIT_REFUSED = 1


def call(
    shared: Shared,
    use: Callable[[Remote], Mapping[str, Any] | None],
) -> None:
    """Call the server and print the task that it answers with, if any.

    Args:
        shared: where it is, and how to print.
        use: the call.

    Raises:
        SettingsError: no server answers there.
    """
    from serving.commands.tables import print_task

    with refusals(), Remote(shared.access) as remote:
        task = use(remote)
    if task is None:
        return
    if shared.as_json:
        print_json(task)
    else:
        print_task(task)


@contextmanager
def refusals() -> Iterator[None]:
    """What the server refuses is a line, its reasons below, and exit 1."""
    try:
        yield
    except Refused as refused:
        say(f"polyhead: {refused}")
        for reason in refused.reasons:
            say(f"  [{reason.get('code')}] {reason.get('message')}")
        raise typer.Exit(EXIT_REFUSED) from refused


def say(line: str) -> None:
    """A line on standard error."""
    typer.echo(line, err=True)


def print_json(content: Any) -> None:
    """A value as JSON on standard output."""
    typer.echo(orjson.dumps(content, option=orjson.OPT_INDENT_2).decode())
