"""A command on a terminal that is no screen: what it shows can be read."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyte

from tests.running import POLYHEAD, settings

_PATIENCE_S = 20.0


class Terminal:
    """One command's terminal.

    Args:
        descriptor: of its other end.
        process: the command's.
    """

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._descriptor = descriptor
        self._screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self._screen)
        self.written = b""

    def resize(self, columns: int, lines: int) -> None:
        """Another size, as when a window is pulled."""
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._screen.resize(lines, columns)

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._descriptor, keys.encode())

    def shows(self, text: str) -> str:
        """The whole screen, once the text stands there; fails when it does not come."""
        until_s = time.monotonic() + _PATIENCE_S
        while text not in (shown := "\n".join(self._screen.display)):
            assert time.monotonic() < until_s, f"no {text!r} in:\n{shown}"
            self._read()
        return shown

    def ends(self) -> int:
        """How the command ended, all of its output read."""
        until_s = time.monotonic() + _PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < until_s, "It did not end."
            self._read()
        self._read()
        return self.process.returncode

    def _read(self) -> None:
        if not select.select([self._descriptor], [], [], 0.1)[0]:
            return
        try:
            found = os.read(self._descriptor, 1 << 16)
        except OSError:  # the command has closed its end
            time.sleep(0.02)
            return
        self.written += found
        self._stream.feed(found)


@contextmanager
def terminal(*words: str) -> Iterator[Terminal]:
    """`polyhead` with these words on a terminal of 80 columns and 24 lines, for the block."""
    ours, theirs = pty.openpty()
    process = _start(words, theirs)
    os.close(theirs)
    shown = Terminal(ours, process)
    try:
        yield shown
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _start(words: Sequence[str], theirs: int) -> subprocess.Popen[bytes]:
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = settings() | {"TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        environment.pop(name, None)
    return subprocess.Popen(
        [str(POLYHEAD), *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0),
    )
