"""Cheap signs of change: names, sizes, times and inodes of files."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

YAML = (".yaml", ".yml")
_SETTLED_S = 2.0


class Stamp(NamedTuple):
    """What a file looks like from outside; where it differs, the file may differ."""

    size: int
    changed_ns: int
    written_ns: int
    inode: int
    device: int

    @property
    def is_settled(self) -> bool:
        """Whether a change after this one would get other times."""
        last_s = max(self.changed_ns, self.written_ns) / 1e9
        return time.time() - last_s > _SETTLED_S


def stamp_of(path: Path) -> Stamp | None:
    """The file behind all links; None where there is none."""
    try:
        now = path.stat()
    except OSError:
        return None
    return Stamp(now.st_size, now.st_ctime_ns, now.st_mtime_ns, now.st_ino, now.st_dev)


def stamps_of(paths: Iterable[Path]) -> tuple[tuple[str, Stamp | None], ...]:
    """Files by name."""
    return tuple((path.name, stamp_of(path)) for path in paths)


def is_yaml(name: str) -> bool:
    """Whether a file of this name is a task's; dot files belong to editors and to writers."""
    return name.endswith(YAML) and not name.startswith(".")


def yaml_files(folder: Path) -> list[Path]:
    """The task files of a folder, sorted.

    Raises:
        OSError: there is no such folder, or it cannot be listed.
    """
    return sorted(path for path in folder.iterdir() if is_yaml(path.name))
