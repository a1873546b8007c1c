"""A resolved Source: a folder of files on this machine, read within limits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapter_runtime.errors import SourceError

MAX_JSON_BYTES = 64 << 20
MAX_FILE_BYTES = 2 << 30


def inner_path(text: str, source: str) -> Path:
    """A relative path that stays below its root; `Path()` for an empty text.

    Raises:
        SourceError: it is absolute or climbs with `..`.
    """
    path = Path(text.strip("/"))
    if ".." in path.parts or "\0" in text or "\\" in text:
        raise SourceError(f"{source}: {text!r} leads out of its root; refused.")
    return path


def _blobs(root: Path) -> tuple[Path, ...]:
    """Where a hub cache keeps the files that a snapshot links to; nothing for other folders."""
    snapshots = (path for path in (root, *root.parents) if path.parent.name == "snapshots")
    found = (path.parent.parent / "blobs" for path in snapshots)
    return tuple(blobs for blobs in found if blobs.is_dir())[:1]


class Folder:
    """Files of one Source; every path stays inside the root.

    Args:
        root: the folder on disk.
        source: the Source as the user wrote it, for messages.
        max_file_bytes: larger files are refused before they are read.

    Raises:
        SourceError: the root is not a folder.
    """

    def __init__(self, root: Path, source: str, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        if not root.is_dir():
            raise SourceError(f"{source}: there is no such folder; check the path.")
        self.root = root.resolve()
        self.source = source
        self.max_file_bytes = max_file_bytes
        self._homes = (self.root, *_blobs(self.root))

    def has(self, name: str) -> bool:
        """Whether the folder holds a file of that name."""
        return (self.root / name).is_file()

    def path(self, name: str) -> Path:
        """The file's path, checked to exist, to stay inside the root and to be small enough.

        A link may lead to elsewhere in the root, or from a hub cache's snapshot to its blobs.

        Raises:
            SourceError: one of these does not hold.
        """
        inner = Path(name)
        if inner.is_absolute() or ".." in inner.parts or "\0" in name:
            raise SourceError(f"{self.source}: {name!r} lies outside the folder; refused.")
        path = (self.root / inner).resolve()
        if not path.is_file():
            raise SourceError(f"{self.source}: the file {name} is missing.")
        if not any(path.is_relative_to(home) for home in self._homes):
            raise SourceError(
                f"{self.source}: {name} is a link that leads out of the folder; "
                "put the file itself there."
            )
        size = path.stat().st_size
        if size > self.max_file_bytes:
            raise SourceError(
                f"{self.source}: {name} has {size} bytes, the limit is {self.max_file_bytes}; "
                "raise max_file_bytes to accept it."
            )
        return path

    def read_json(self, name: str) -> Any:
        """A JSON file's content.

        Raises:
            SourceError: missing, too large, or not JSON.
        """
        path = self.path(name)
        if path.stat().st_size > MAX_JSON_BYTES:
            raise SourceError(f"{self.source}: {name} is too large for a configuration file.")
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            message = f"{self.source}: {name} is not valid JSON ({error}); save it again."
            raise SourceError(message) from error

    def digest(self, names: Sequence[str]) -> str:
        """SHA-256 (hex) over the named files that exist, names included. Reads them whole."""
        total = hashlib.sha256()
        for name in sorted(names):
            if self.has(name):
                total.update(f"{name}\0".encode())
                with self.path(name).open("rb") as stream:
                    total.update(hashlib.file_digest(stream, "sha256").digest())
        return total.hexdigest()
