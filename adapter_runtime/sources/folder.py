"""A resolved Source: a folder of files on this machine, read within limits."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapter_runtime.errors import SourceError
from adapter_runtime.sources.wanted import present_files

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
    for path in (root, *root.parents):
        if path.parent.name == "snapshots":
            repository = path.parent.parent
            homes = [repository / "blobs"]
            if repository.name.startswith("models--"):  # All repositories share a store, too.
                homes.append(repository.parent / "blobs")
            return tuple(home for home in homes if home.is_dir())
    return ()


class Folder:
    """Files of one Source; every path stays inside the root.

    Args:
        root: the folder on disk.
        source: the Source as the user wrote it, for messages.
        max_file_bytes: larger files are refused before they are read.
        identity: what names the files for good, such as `org/name@commit/folder`; None where only
            their content does.

    Raises:
        SourceError: the root is not a folder.
    """

    def __init__(
        self,
        root: Path,
        source: str,
        max_file_bytes: int = MAX_FILE_BYTES,
        identity: str | None = None,
    ) -> None:
        try:
            is_folder = root.is_dir()
        except OSError as error:
            message = f"{source}: the folder cannot be opened ({error.strerror}); check the path."
            raise SourceError(message) from error
        if not is_folder:
            raise SourceError(f"{source}: there is no such folder; check the path.")
        self.root = root.resolve()
        self.source = source
        self.max_file_bytes = max_file_bytes
        self.identity = identity
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
            raise self._too_large(name, size)
        return path

    def _too_large(self, name: str, size: int) -> SourceError:
        return SourceError(
            f"{self.source}: {name} has {size} bytes, the limit is {self.max_file_bytes}; "
            "raise max_file_bytes to accept it."
        )

    def read_bytes(self, name: str, limit: int | None = None) -> bytes:
        """A file's content, whole: what happens to the file afterwards changes nothing.

        Args:
            name: the file.
            limit: most bytes; None is `max_file_bytes`.

        Raises:
            SourceError: missing, outside the folder, too large, or unreadable.
        """
        limit = self.max_file_bytes if limit is None else min(limit, self.max_file_bytes)
        try:
            with self.path(name).open("rb") as stream:
                # The system gives as much memory as is asked for here, not as the file has.
                size = os.fstat(stream.fileno()).st_size
                content = stream.read(min(limit, size) + 1)
        except OSError as error:
            raise self._unreadable(error) from error
        if len(content) > limit:
            raise self._too_large(name, len(content))
        return content

    def read_json(self, name: str) -> Any:
        """A JSON file's content.

        Raises:
            SourceError: missing, too large, or not JSON.
        """
        if self.path(name).stat().st_size > MAX_JSON_BYTES:
            raise SourceError(f"{self.source}: {name} is too large for a configuration file.")
        try:
            content = self.read_bytes(name).decode("utf-8")
            return json.loads(content, object_pairs_hook=_with_shared_names)
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

    def fingerprint(self) -> str:
        """What the files are: equal for equal files, wherever they lie. May read them whole.

        From a hub it is `org/name@commit/folder`; else SHA-256 (hex) over the names and contents
        of the files that Polyhead reads, weights included.

        Raises:
            SourceError: a file cannot be read.
        """
        if self.identity is not None:
            return self.identity
        try:
            return self.digest(present_files(self.root))
        except OSError as error:
            raise self._unreadable(error) from error

    def stamp(self) -> tuple[tuple[str, int, int, int], ...]:
        """Name, bytes, time of change (ns) and inode of each file that Polyhead reads.

        Reads no content: two equal stamps around a reading tell that nobody changed the files.

        Raises:
            SourceError: the folder cannot be read.
        """
        try:
            found = [(name, (self.root / name).stat()) for name in present_files(self.root)]
        except OSError as error:
            raise self._unreadable(error) from error
        return tuple((name, s.st_size, s.st_mtime_ns, s.st_ino) for name, s in found)

    def _unreadable(self, error: OSError) -> SourceError:
        return SourceError(f"{self.source}: its files cannot be read ({error.strerror}); check it.")


def _with_shared_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Hundreds of adapters are kept with configs that name the same settings."""
    return {sys.intern(name): value for name, value in pairs}
