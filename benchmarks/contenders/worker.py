"""The worker's side of a contender: jobs and runs as JSON lines on standard input and output.

Workers run in environments of their own, so this file needs the standard library only.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

Job = Mapping[str, Any]
Run = Callable[[bool], list[list[float]] | None]
"""One forward of all rows. Before those that are timed it is asked for each row's mean state."""
Prepare = Callable[[Job], Run]
"""Makes ready what a job names."""


def work(prepare: Prepare) -> None:
    """Take one job, then run it as often as asked, until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not be read as an answer
    try:
        run = prepare(json.loads(sys.stdin.readline()))
        found = run(True)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        answers.write(json.dumps({"error": f"{type(error).__name__}: {reason}"}) + "\n")
        return
    answers.write(json.dumps({"states": found}) + "\n")
    for line in sys.stdin:
        taken = []
        for _ in range(int(line)):
            began_s = time.perf_counter()
            run(False)
            taken.append(time.perf_counter() - began_s)
        answers.write(json.dumps({"seconds": taken}) + "\n")


def buckets(lengths: list[int], count: int) -> list[list[int]]:
    """Row numbers in `count` groups of like lengths, the shortest first."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    size = -(-len(order) // count)
    return [order[first : first + size] for first in range(0, len(order), size)]


def padded(rows: list[list[int]]) -> tuple[list[list[int]], list[list[int]]]:
    """Rows filled up with zeros to the longest, and the mask of what is real."""
    longest = max(map(len, rows))
    ids = [row + [0] * (longest - len(row)) for row in rows]
    mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    return ids, mask
