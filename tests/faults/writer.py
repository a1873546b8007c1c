"""Rewrites a file in place without pause, as a careless copy does; ends when told to.

python -m tests.faults.writer TARGET CONTENT...
"""

from __future__ import annotations

import sys
import time
from itertools import cycle
from pathlib import Path

STEP = 1 << 16
PAUSE_S = 0.001


def rewrite(target: Path, content: bytes) -> None:
    """Truncate and fill a file piece by piece, so that readers see every length."""
    with target.open("r+b") as file:
        file.truncate(0)
        for start in range(0, len(content), STEP):
            file.write(content[start : start + STEP])
            file.flush()
            time.sleep(PAUSE_S)


def main() -> None:
    """Rewrite until standard input is closed."""
    target, *sources = map(Path, sys.argv[1:])
    contents = [source.read_bytes() for source in sources]
    for content in cycle(contents):
        rewrite(target, content)
        time.sleep(PAUSE_S * 20)


if __name__ == "__main__":
    main()
