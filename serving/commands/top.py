"""`polyhead top`: a running server at a glance."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from adapter_runtime import SettingsError
from serving.access import Access
from serving.commands.calling import refusals
from serving.commands.options import option
from serving.commands.reaching import reaching
from serving.remote import Refused, Remote

if TYPE_CHECKING:
    from rich.console import Console

    from serving.commands.measured import Look
    from serving.commands.screen import Screen

_FORBIDDEN = (401, 403, 404)
_QUIT = (b"q", b"Q", b"\x04", b"")

Every = Annotated[
    float, option("Seconds between two looks.", "--every", variable="EVERY", at_least=0.2)
]
Once = Annotated[bool, option("One look, then end.", "--once", variable="ONCE")]


@reaching
def top(
    access: Access,
    every: Every = 2.0,
    once: Once = False,
) -> None:
    """Watch a running server: its load, and its busiest tasks; q or Ctrl-C ends.

    Off a terminal it looks once. Exit 0, 1 refused, 2 no server.
    """
    from rich.console import Console

    console = Console()
    with refusals(), Remote(access) as remote:
        looks = Looks(remote, access.url)
        screen = looks.screen()
        if once or not console.is_terminal:
            time.sleep(every)
            console.print(looks.screen())
        else:
            with suppress(KeyboardInterrupt):  # that is how one leaves it
                _watch(console, looks, screen, every)


class Looks:
    """One look after another; a server that has been seen may be away for a while.

    Args:
        remote: the server.
        url: as it is shown.
    """

    def __init__(self, remote: Remote, url: str) -> None:
        self._remote = remote
        self._url = url
        self._before: Look | None = None
        self._last: Screen | None = None
        self._at = ""

    def screen(self) -> Screen:
        """The server now, and what happened since the last look. Blocks.

        Raises:
            Refused: the key may not see tasks.
            SettingsError: no server answers, and none did before.
        """
        try:
            self._last = self._look()
            self._at = time.strftime("%H:%M:%S")
        except (SettingsError, Refused) as error:
            is_refused = isinstance(error, Refused) and error.status in _FORBIDDEN
            if self._last is None or is_refused:
                raise
            return replace(self._last, trouble=f"No answer since {self._at}; asking again. {error}")
        return self._last

    def _look(self) -> Screen:
        from serving.commands.measured import Between
        from serving.commands.screen import Screen

        tasks, now = self._remote.tasks(), self._metrics()
        before, self._before = self._before or now, now
        between = Between(before, now) if before and now else None
        return Screen(self._url, tasks, between)

    def _metrics(self) -> Look | None:
        """None where the key may not see them, or they are on another port."""
        from serving.commands.measured import look

        try:
            return look(self._remote.metrics(), time.monotonic())
        except Refused as refused:
            if refused.status in _FORBIDDEN:
                return None
            raise


def _watch(console: Console, looks: Looks, screen: Screen, every: float) -> None:
    """Draw again and again until told to end."""
    from rich.live import Live

    live = Live(screen, console=console, screen=True, auto_refresh=False)
    with _keys() as pressed, live:
        while not pressed(every):
            live.update(looks.screen(), refresh=True)


@contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """A question that waits some seconds and says whether a key has asked to end."""
    import termios
    import tty

    keyboard = [sys.stdin.fileno()] if sys.stdin.isatty() else []

    def pressed(wait_s: float) -> bool:
        until_s = time.monotonic() + wait_s
        while (left_s := until_s - time.monotonic()) > 0:
            if select.select(keyboard, [], [], left_s)[0] and os.read(keyboard[0], 1) in _QUIT:
                return True
        return False

    before = termios.tcgetattr(keyboard[0]) if keyboard else None
    try:
        if keyboard:
            tty.setcbreak(keyboard[0])
        yield pressed
    finally:
        if before is not None:
            termios.tcsetattr(keyboard[0], termios.TCSADRAIN, before)
