"""Copies of stores' files on this machine.

One folder for each URL, in it one for each state of the files. A copy appears whole, by being
renamed; what a killed process left has another name and is never looked at.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from adapter_runtime.errors import SourceError

_NAME = re.compile(r"[0-9a-f]{32}")
"""Of the folders for URLs and for states of their files."""
_TEMPORARY = ".part-"
_KEPT_S = 7 * 24 * 3600
"""Copies that were not asked for within a week are removed, and what killed processes left."""


class Copies:
    """The copies of one URL's files.

    Args:
        cache: the folder for all copies.
        url: where the files come from.
    """

    def __init__(self, cache: Path, url: str) -> None:
        self.home = cache / hashlib.sha256(url.encode()).hexdigest()[:32]
        self._name = url.rpartition("/")[2]

    def folder(self, key: str) -> Path | None:
        """The copy under a key, where there is one; from now on it is the newest."""
        folder = self.home / key / self._name
        if not folder.is_dir():
            return None
        with suppress(OSError):  # The cache may be read-only.
            now = time.time_ns()  # The system's own is too coarse to order two calls.
            os.utime(folder.parent, ns=(now, now))
        return folder

    def newest(self) -> Path | None:
        """The copy that was asked for last."""
        with suppress(OSError):
            kept = [path for path in self.home.iterdir() if _TEMPORARY not in path.name]
            for copy in sorted(kept, key=lambda path: path.stat().st_mtime, reverse=True):
                if (folder := copy / self._name).is_dir():
                    return folder
        return None

    def make(self, key: str, said: str, fill: Callable[[Path], None]) -> Path:
        """A new copy under a key.

        Args:
            key: what tells this state of the files from others.
            said: the Source, for messages.
            fill: writes the files into an empty folder.

        Raises:
            SourceError: the cache cannot be written.
            Exception: what `fill` raised.
        """
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            made = Path(tempfile.mkdtemp(prefix=f"{key}{_TEMPORARY}", dir=self.home))
        except OSError as error:
            raise SourceError(
                f"{said}: {self.home} cannot be written ({error.strerror}); set cache_dir."
            ) from error
        try:
            (made / self._name).mkdir()
            fill(made / self._name)
            with suppress(OSError):  # Another process was faster, with the same files.
                made.rename(self.home / key)
        finally:
            shutil.rmtree(made, ignore_errors=True)
        self._forget_old(key)
        if folder := self.folder(key):
            return folder
        raise SourceError(f"{said}: {self.home} cannot be written; set cache_dir.")

    def _forget_old(self, current: str) -> None:
        before = time.time() - _KEPT_S
        for path in self.home.parent.glob("*/*"):
            # The folder may be one that holds other things, too.
            is_ours = _NAME.fullmatch(path.parent.name) and _NAME.match(path.name)
            if not is_ours or path == self.home / current:
                continue
            with suppress(OSError):  # Another process was faster.
                if path.stat().st_mtime < before:
                    shutil.rmtree(path, ignore_errors=True)
