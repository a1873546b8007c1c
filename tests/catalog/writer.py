"""A process that changes a catalog: `python -m tests.catalog.writer FOLDER NAME ROUNDS [LIMIT]`.

ROUNDS 0 means until it is killed; LIMIT is the largest file that it may write, in bytes.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from serving.catalog.directory import DirectoryStore
from serving.catalog.store import Entry

LABELS = ["label " * 40] * 200
"""Enough bytes that a write takes a while."""


def counted(entry: Entry | None, name: str) -> Entry:
    """The entry with a count that is one higher, and a copy of it at its end."""
    count = entry["limits"]["max_tokens"] if entry else 0
    return {
        "name": name,
        "limits": {"max_tokens": count + 1},
        "labels": LABELS,
        "examples": [{"inputs": f"{count + 1}"}],
    }


def main() -> None:
    """Count, again and again."""
    folder, name, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    if len(sys.argv) > 4:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]),) * 2)
    store = DirectoryStore(folder, lock_s=60)
    sys.stdout.write("started\n")
    sys.stdout.flush()
    done = 0
    while not rounds or done < rounds:
        store.change(name, lambda entry: counted(entry, name))
        done += 1


if __name__ == "__main__":
    main()
