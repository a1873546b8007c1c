"""Dies once at every line of a change: `python -m tests.catalog.dying FOLDER`.

Prints how often it died, and fails where what is left is neither the old task nor the new one.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from serving.catalog.directory import DirectoryStore
from tests.catalog.writer import counted

ROOMS = ("atomic.py", "directory.py", "locks.py")


def die_at(line: int) -> None:
    """End this process, as `kill -9` does, before it runs that many lines of the store."""
    left = line

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.endswith(ROOMS):
            return None
        if event == "line":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


def survives(store: DirectoryStore, line: int) -> bool:
    """Change the task in a process that dies at a line; whether it came to the end before."""
    child = os.fork()
    if not child:
        die_at(line)
        store.change("t", lambda entry: counted(entry, "t") | {"labels": None})
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def count_of(store: DirectoryStore) -> int:
    """How often the task was changed; 0 where there is none."""
    found = store.read()
    assert not found.broken, found.broken
    return found.plans[0].versions[0].spec.limits.max_tokens or 0 if found.plans else 0


def main() -> None:
    """Die at the first line, at the second, and so on."""
    store, line, is_done = DirectoryStore(Path(sys.argv[1])), 0, False
    while not is_done:
        before = count_of(store)
        is_done = survives(store, line)
        assert count_of(store) in (before, before + 1)
        line += 1
    sys.stdout.write(f"{line} {count_of(store)}\n")


if __name__ == "__main__":
    main()
