"""Waits for a version that was put, and says how it fares."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from serving.commands.tables import reasons
from serving.remote import Refused, Remote

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 1.0
_ON_ITS_WAY = frozenset({"pending", "loading", "checking"})


def follow(
    remote: Remote,
    task: Mapping[str, Any],
    id: str | None,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Mapping[str, Any], bool]:
    """Ask again until a version is ready or will not be. Blocks.

    Args:
        remote: the server.
        task: as it was put.
        id: of the version; None is the newest one.
        say: takes a line for each new state.
        sleep: seconds between two questions.

    Returns:
        The task as it is in the end, and whether the version is ready.

    Raises:
        Refused: the task is gone.
    """
    said, pause_s = "", _FIRST_PAUSE_S
    while True:
        version = _version(task, id)
        line = f"{task['name']} {version.get('id') or ''}".rstrip() + f": {version['state']}"
        if line != said:
            say(line)
            said = line
        if version["state"] not in _ON_ITS_WAY:
            for reason in reasons(version) if version["state"] != "ready" else ():
                say(f"  {reason}")
            return task, version["state"] == "ready"
        sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        task = remote.task(task["name"])


def _version(task: Mapping[str, Any], id: str | None) -> Mapping[str, Any]:
    versions: list[Mapping[str, Any]] = task["versions"]
    found = [each for each in versions if id is None or each.get("id") == id]
    if not found:
        raise Refused(410, f"{task['name']} has no version {id} any more.")
    return found[-1]
