"""What a server that wants keys knows of those who show them."""

from __future__ import annotations

from pathlib import Path

from serving.admission.key_file import KeyFile
from serving.admission.keys import Key
from serving.admission.quotas import Allowances
from serving.admission.scopes import Actions
from serving.admission.usage import Usage
from serving.callers import caller_var
from serving.errors import Forbidden, Unauthorized
from serving.metrics import Recorder
from serving.observing import UNKNOWN, Observer
from serving.settings import Settings


class Gate:
    """Keys, what they have left and what they have used; one for all ports of a server.

    Args:
        path: of the keys file.
        recorder: takes what they use.

    Attributes:
        keys: as the file is now.
        allowances: what each key has left.
        usage: what each key has used.

    Raises:
        SettingsError: the file cannot be read, or is wrong.
    """

    def __init__(self, path: Path, recorder: Recorder) -> None:
        self._recorder = recorder
        self.keys = KeyFile(path, self._told)
        self._told(True)
        self.allowances = Allowances()
        self.usage = Usage(recorder)
        self._observer = Observer(recorder)

    def refused(self, error: Exception) -> None:
        """A request did not come in."""
        self._observer.refused(UNKNOWN, error)

    def _told(self, is_fine: bool) -> None:
        self._recorder.put("polyhead_keys", len(self.keys.ring.by_name))
        self._recorder.put("polyhead_keys_broken", 0 if is_fine else 1)

    def key(self, needed: Actions) -> Key:
        """The key of whoever sent the request that is being served.

        Args:
            needed: actions of which it must have one.

        Raises:
            Unauthorized: nobody has shown one, or it has gone meanwhile.
            Forbidden: it may do none of what is needed.
        """
        key = self.keys.ring.by_name.get(caller_var.get().name)
        if key is None or key.has_expired:
            raise Unauthorized("A valid key is needed here.")
        check_actions(key, needed)
        return key

    def key_for(self, task: str, needed: Actions) -> Key:
        """Likewise, for what is asked of a task.

        Raises:
            Unauthorized, Forbidden: as above, or it may not name the task.
        """
        key = self.key(needed)
        if not key.may_name(task):
            # The same for tasks that are and tasks that are not: names are not for guessing.
            raise Forbidden(
                f"Key {key.name} may not use {task!r:.200}; GET /tasks lists what it may."
            )
        return key


def open_gate(settings: Settings, recorder: Recorder) -> Gate | None:
    """The gate of a server that wants keys; None where everybody may come in.

    Raises:
        SettingsError: the keys file cannot be read, or is wrong.
    """
    return None if settings.keys is None else Gate(Path(settings.keys), recorder)


def check_actions(key: Key, needed: Actions) -> None:
    """Return if the key may do one of these.

    Raises:
        Forbidden: it may not.
    """
    if not key.may(needed):
        wanted = " or ".join(sorted(needed))
        raise Forbidden(f"Key {key.name} lacks the action {wanted}; use one that has it.")
