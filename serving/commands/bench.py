"""`polyhead bench`: how many requests a running server answers, and how soon."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from serving.access import Access
from serving.commands.calling import print_json, refusals, say
from serving.commands.options import JsonOption, option
from serving.commands.reaching import reaching

_EXIT_SOME_FAILED = 1
_BUSY_CORE = 0.9

Tasks = Annotated[
    list[str] | None, option("Task; repeat for more. All by default.", "--task", variable="TASK")
]
Connections = Annotated[
    int, option("Connections that ask at once.", variable="CONNECTIONS", at_least=1)
]
Seconds = Annotated[float, option("How long.", variable="SECONDS", at_least=0.1)]
Words = Annotated[int, option("Words of each made text.", variable="WORDS", at_least=1)]
Input = Annotated[
    str | None, option("One input for all, text or JSON.", "--input", variable="INPUT")
]


@reaching
def bench(
    access: Access,
    server: Annotated[
        str | None, typer.Argument(metavar="URL", help="The running server, as --url says it.")
    ] = None,
    task: Tasks = None,
    connections: Connections = 16,
    seconds: Seconds = 10.0,
    words: Words = 20,
    input: Input = None,
    as_json: JsonOption = False,
) -> None:
    """Load a running server without a pause, and tell its rate and latencies.

    Each task is asked once before. Exit 0, 1 some were refused, 2 no server, or none any more.
    """
    from serving.commands.loading import Load, calls_to, known_tasks
    from serving.remote import Remote

    access = replace(access, url=server or access.url)
    with refusals(), Remote(access) as remote:
        tasks = known_tasks(remote, task or [])
        calls = calls_to(tasks, input, words)
        for path, body in calls[: len(tasks)]:  # what is measured afterwards loads nothing
            remote.post(path, body)
    seen = Load(access, connections, seconds).run(calls)
    figures = {"tasks": len(tasks), "connections": connections, **seen.figures()}
    if as_json:
        print_json(figures)
    else:
        _print(figures)
    if seen.lost is not None:
        say(
            f"polyhead: the server was lost after {figures['seconds']} s; the figures are of these."
        )
        raise seen.lost
    if seen.refusals:
        raise typer.Exit(_EXIT_SOME_FAILED)


def _print(figures: dict[str, Any]) -> None:
    if figures["requests"]:
        typer.echo(
            f"{figures['requests_per_s']} requests/s   p50 {figures['p50_ms']} ms   "
            f"p95 {figures['p95_ms']} ms   p99 {figures['p99_ms']} ms"
        )
    typer.echo(
        f"{figures['requests']} answers in {figures['seconds']} s, {figures['tasks']} tasks, "
        f"{figures['connections']} connections, {figures['client_cores']} cores for asking"
    )
    for status, count in figures["refused"].items():
        say(f"polyhead: {count} requests were answered {status}; polyhead predict shows why.")
    if figures["client_cores"] > _BUSY_CORE:
        say("polyhead: asking took a whole core: the server may answer more than this client asks.")
