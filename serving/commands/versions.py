"""`polyhead tasks promote` and the like: what is done with the versions of a task."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any

import typer

from adapter_runtime import SettingsError
from serving.commands.calling import Name, call, say
from serving.commands.entries import read_weights
from serving.commands.reaching import Shared, sharing
from serving.remote import Refused, Remote

_TIMED_OUT = 504
_PAUSE_S = 0.5
ACTIONS: Mapping[str, str] = MappingProxyType(
    {
        "promote": "Give a version all the traffic.",
        "pin": "Keep a version on the device, also after a restart.",
        "unpin": "Let a version leave the device again.",
        "preload": "Bring a version onto the device now, checked.",
        "evict": "Take a version out of memory until it is asked for.",
    }
)
"""What can be done with any version, and what it means."""
Version = Annotated[
    str, typer.Argument(metavar="VERSION", help="Id of the version.", show_default=False)
]


def acting(action: str) -> Callable[..., None]:
    """The sub-command that does one of `ACTIONS`."""

    @sharing
    def act(
        shared: Shared,
        name: Name,
        version: Version,
    ) -> None:
        call(shared, lambda remote: patiently(remote, name, version, action))

    return act


def patiently(
    remote: Remote,
    name: str,
    version: str,
    action: str,
    sleep: Callable[[float], None] = time.sleep,
) -> Mapping[str, Any]:
    """Act on a version; a preload is asked for again as often as the server's own wait ends.

    Raises:
        Refused: it cannot be done.
    """
    while True:
        try:
            return remote.act(name, version, action)
        except Refused as refused:
            if action != "preload" or refused.status != _TIMED_OUT:
                raise
            say(f"{name} {version}: still loading")
            sleep(_PAUSE_S)


@sharing
def rollback(
    shared: Shared,
    name: Name,
    version: Annotated[
        str | None,
        typer.Argument(
            metavar="VERSION", help="Default: the newest that has traffic.", show_default=False
        ),
    ] = None,
) -> None:
    """Give the traffic back to those who had it before a version."""

    def act(remote: Remote) -> Mapping[str, Any]:
        return remote.act(name, version or _newest(remote, name), "rollback")

    call(shared, act)


@sharing
def traffic(
    shared: Shared,
    name: Name,
    weights: Annotated[
        list[str] | None,
        typer.Argument(metavar="VERSION=WEIGHT", help="Such as 1=90 2=10."),
    ] = None,
    shadow: Annotated[
        list[str] | None,
        typer.Option("--shadow", help="Version that only gets copies; repeat for more."),
    ] = None,
    no_shadow: Annotated[
        bool, typer.Option("--no-shadow", help="No version gets copies any more.")
    ] = False,
    newest: Annotated[
        bool, typer.Option("--newest", help="The newest ready version takes all.")
    ] = False,
) -> None:
    """Share a task's traffic out among its versions; what is not said stays."""
    if (weights and newest) or (shadow and no_shadow):
        raise typer.BadParameter("--newest excludes weights, and --no-shadow excludes --shadow.")
    shares: dict[str, Any] = {}
    if weights or newest:
        shares["weights"] = read_weights(weights) if weights else None
    if shadow or no_shadow:
        shares["shadow"] = shadow or []
    if not shares:
        raise typer.BadParameter("say VERSION=WEIGHT, --newest, --shadow or --no-shadow.")
    call(shared, lambda remote: remote.share(name, shares))


def _newest(remote: Remote, name: str) -> str:
    """The newest version that has traffic."""
    serving = [each for each in remote.task(name)["versions"] if each.get("share")]
    if not serving or serving[-1].get("id") is None:
        raise SettingsError(f"No version of {name} has traffic; name the one to roll back.")
    return str(serving[-1]["id"])
