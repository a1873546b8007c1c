"""`polyhead predict`: a task's answers at the terminal, or in a pipe."""

from __future__ import annotations

from typing import Annotated

import typer

from serving.access import Access
from serving.commands.completing import complete_task
from serving.commands.options import JsonOption, option
from serving.commands.reaching import reaching

_EXIT_SOME_FAILED = 1

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TEXT",
        help='Texts, or JSON objects such as {"question": …, "context": …}. None, or -: the lines '
        "of standard input.",
        show_default=False,
    ),
]
Parameter = Annotated[
    list[str] | None,
    option("As name=value, such as top_k=1; repeat.", "--parameter", "-p", variable="PARAMETER"),
]
VersionOption = Annotated[
    str | None, option("Only this version answers.", "--version", variable="TASK_VERSION")
]
Parallel = Annotated[
    int, option("Requests at a time.", "--parallel", variable="PARALLEL", at_least=1)
]


Task = Annotated[
    str,
    typer.Argument(
        metavar="TASK", help="The task.", show_default=False, autocompletion=complete_task
    ),
]


@reaching
def predict(
    access: Access,
    task: Task,
    inputs: Inputs = None,
    parameter: Parameter = None,
    version: VersionOption = None,
    parallel: Parallel = 8,
    as_json: JsonOption = False,
) -> None:
    """Ask a task of a running server; the answers keep the order of the inputs.

    Exit 0 all answered, 1 some were refused, 2 no server.
    """
    from serving.commands.asking import Question, answers, read_parameters
    from serving.commands.lines import is_typed, lines
    from serving.commands.showing import json_line, shown
    from serving.remote import Remote

    is_piped = not inputs or inputs == ["-"]
    given = lines() if is_piped else iter(inputs or ())
    if is_piped and is_typed():
        typer.echo("One input a line; Ctrl-D ends.", err=True)
        parallel = 1  # who types wants each answer before the next line
    question = Question(task, read_parameters(parameter or []), version)
    num_failed, is_first = 0, True
    with Remote(access) as remote:
        for text, found in answers(remote, question, given, parallel):
            num_failed += isinstance(found, Exception)
            if as_json:
                typer.echo(json_line(text, found))
            else:
                shown(text, found, is_alone=bool(inputs and len(inputs) == 1), is_first=is_first)
            is_first = False
    if num_failed:
        raise typer.Exit(_EXIT_SOME_FAILED)
