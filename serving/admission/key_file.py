"""The keys file while a server runs: read again whenever it changes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from adapter_runtime import SettingsError
from serving.admission.keys import KeyRing, read_keys
from serving.catalog.stamps import stamp_of
from serving.catalog.watching import watch_folder

log = logging.getLogger(__name__)
_POLL_S = 0.5


class KeyFile:
    """The keys of a file, as it is now; a broken edit leaves the old ones in force.

    Args:
        path: of the file.
        told: called after each time it was read again, with whether it could be; any thread.

    Raises:
        SettingsError: it cannot be read, or is wrong.
    """

    def __init__(self, path: Path, told: Callable[[bool], None] = lambda is_fine: None) -> None:
        self._path = path
        self._told = told
        self._seen = stamp_of(path)
        self.ring: KeyRing = read_keys(path)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Follow the file from now on."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, name="keys", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Follow it no more. Blocks for a moment."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def read_again(self) -> None:
        """Take the file as it is now, unless it is broken."""
        try:
            self.ring = read_keys(self._path)
        except SettingsError as error:
            log.error("The keys stay as they were: %s", error)
            self._told(False)
        except Exception as error:  # the thread must live: keys are revoked through it
            log.error("The keys stay as they were: %s in reading them.", type(error).__name__)
            self._told(False)
        else:
            log.info("%s was read: %d keys.", self._path, len(self.ring.by_name))
            self._told(True)

    def _follow(self) -> None:
        changes = watch_folder(
            self._path.parent,
            lambda: stamp_of(self._path),
            lambda name: name == self._path.name,
            self._stop,
            _POLL_S,
        )
        for number, _ in enumerate(changes):
            if number or stamp_of(self._path) != self._seen:
                self.read_again()
