"""A folder of small JSON files that outlive the process; losing any of them does no harm."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

log = logging.getLogger(__name__)
_MAX_BYTES = 1 << 20
_ENDING = ".json"
_DRAFT_AGE_S = 3600.0
_UNREADABLE = (OSError, ValueError)


class Remembered:
    """Reads and writes small values by key; several processes may share the folder. Thread-safe.

    Files are written whole or not at all; what is no file of ours is passed over.

    Args:
        folder: made when first written to; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._has_warned = False

    def read(self, room: str, key: str) -> Any | None:
        """What was written under a key, if it still can be read.

        Args:
            room: the subfolder.
            key: any text.
        """
        if self._folder is None:
            return None
        path = self._path(self._folder / room, key)
        try:
            with path.open("rb") as file:
                content = orjson.loads(file.read(_MAX_BYTES))
        except _UNREADABLE:
            return None
        is_ours = isinstance(content, dict) and content.get("key") == key
        return content.get("value") if is_ours else None

    def write(self, room: str, key: str, value: Any) -> bool:
        """Write a value; says whether it is kept. The first failure is logged, and no other."""
        if self._folder is None:
            return False
        path = self._path(self._folder / room, key)
        draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft.write_bytes(orjson.dumps({"key": key, "value": value}))
            draft.replace(path)
        except (OSError, TypeError, ValueError) as error:
            _remove(draft)
            self._warn(error)
            return False
        return True

    def _warn(self, error: Exception) -> None:
        with self._lock:
            is_first, self._has_warned = not self._has_warned, True
        if is_first:
            log.warning(
                "%s cannot be written (%s): what is learned is forgotten at the end; "
                "set POLYHEAD_STATE_DIR to a folder that can",
                self._folder,
                error,
            )

    def touch(self, room: str, key: str) -> None:
        """Make a value the newest of its room."""
        if self._folder is not None:
            try:
                os.utime(self._path(self._folder / room, key))
            except OSError:
                return

    def prune(self, room: str, most: int) -> None:
        """Remove the oldest values beyond `most`, and drafts that a killed process left."""
        if self._folder is None:
            return
        found = sorted(_ages(self._folder / room), reverse=True)
        kept = [path for _, path in found if path.suffix == _ENDING and path.name[0] != "."]
        for path in kept[most:]:
            _remove(path)
        for changed_s, path in found:
            if path.name.startswith(".") and time.time() - changed_s > _DRAFT_AGE_S:
                _remove(path)

    def _path(self, room: Path, key: str) -> Path:
        return room / f"{sha256(key.encode()).hexdigest()[:40]}{_ENDING}"


def _ages(folder: Path) -> Iterator[tuple[float, Path]]:
    """Files with the time of their last change, in seconds since the epoch."""
    try:
        paths = list(folder.iterdir())
    except OSError:
        return
    for path in paths:
        try:
            yield path.stat().st_mtime, path
        except OSError:  # another process has removed it
            continue


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
