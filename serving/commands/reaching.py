"""The options by which a command reaches a running server, declared once for all commands."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Any

import typer

from serving.access import Access
from serving.commands.options import option

DEFAULT_URL = "http://127.0.0.1:8080"
_PANEL = "Server"
_TEXTS: Mapping[str, str] = MappingProxyType(
    {
        "url": "The running server.",
        "key": "Key, where one is wanted; best by variable.",
        "cacert": "Authorities to trust, in PEM.",
        "cert": "Certificate to show, in PEM.",
        "cert_key": "Its private key, if in a file of its own.",
        "cert_key_password": "Password of the private key; best by variable.",
    }
)
"""The fields of `Access`."""
Command = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Shared:
    """What all sub-commands of a group are told."""

    access: Access
    as_json: bool


def reaching(command: Command) -> Command:
    """A command whose parameter `access` becomes options, `--url` and its kin."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        access = Access(**{name: given.pop(name) for name in _TEXTS})
        command(access=access, **given)

    options = [
        _option(name, option(text, _flag(name), variable=name.upper(), panel=_PANEL))
        for name, text in _TEXTS.items()
    ]
    options[0] = options[0].replace(default=DEFAULT_URL)
    return _declared(run, command, "access", options)


def sharing(command: Command) -> Command:
    """A sub-command whose parameter `shared` becomes options, which win over the group's."""

    @functools.wraps(command)
    def run(context: typer.Context, as_json: bool, **given: Any) -> None:
        group: Shared = context.obj
        own = {name: given.pop(name) for name in _TEXTS}
        access = replace(group.access, **{name: value for name, value in own.items() if value})
        command(shared=Shared(access, as_json or group.as_json), **given)

    # Without variables: what stands before the sub-command wins over the environment.
    options = [
        _option(name, typer.Option(_flag(name), help=text, rich_help_panel=_PANEL))
        for name, text in _TEXTS.items()
    ]
    as_json = _keyword(
        "as_json", Annotated[bool, typer.Option("--json", help="Print JSON.")], False
    )
    context = _keyword("context", typer.Context, inspect.Parameter.empty)
    return _declared(run, command, "shared", [context, as_json, *options])


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _option(name: str, declared: Any) -> inspect.Parameter:
    return _keyword(name, Annotated[str | None, declared], None)


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _declared(
    run: Command, command: Command, name: str, options: Sequence[inspect.Parameter]
) -> Command:
    """What typer reads of a command: its own parameters, and others in place of one of them."""
    own = inspect.signature(command, eval_str=True).parameters.values()
    kept = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own if each.name != name]
    run.__signature__ = inspect.Signature([*kept, *options])  # type: ignore[attr-defined]
    return run
