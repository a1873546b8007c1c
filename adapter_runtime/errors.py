"""Everything that Polyhead's runtime raises on purpose.

* PolyheadError — `code` is stable, the message is one sentence with the remedy
  * InvalidInput — the request's inputs or parameters are wrong; `field` names the place
    * TooLong — more tokens, items or bytes than the limits allow
  * SourceError — files cannot be found, read or trusted
    * SourceRefused — the operator's list of allowed Sources does not have it
  * BackboneError — the backbone cannot be loaded or lacks what is asked of it
  * RejectedAdapter — a checkpoint failed admission; `problems` lists every reason
  * UnknownTask — no task of that name; `near` lists similar names
  * CapacityError — no slot, byte or row left for the work
    * OutOfMemory — by the settings there is room, but the machine has no memory left
  * RowFailed — one row's computation failed; its neighbours are fine
    * VersionFailed — by the version's fault: its weights raise, or give numbers that are not finite
  * SettingsError — a setting is out of range or contradicts another
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from adapter_runtime.types import Note


class PolyheadError(Exception):
    """Base of all errors raised on purpose; `str(error)` is one sentence for the user."""

    code: ClassVar[str] = "internal_error"


class InvalidInput(PolyheadError):
    """The request's inputs or parameters are wrong.

    Args:
        message: one sentence that says what is expected.
        field: the place in the body, such as `inputs[2]` or `parameters.top_k`.
    """

    code = "invalid_input"

    def __init__(self, message: str, field: str = "inputs") -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class TooLong(InvalidInput):
    """An input exceeds the task's limits and its overflow rule is `reject`."""

    code = "too_long"


class SourceError(PolyheadError):
    """Files of a Source cannot be found, read or trusted."""

    code = "source_error"


class SourceRefused(SourceError):
    """The operator's list of allowed Sources does not have this one."""

    code = "source_not_allowed"


class BackboneError(PolyheadError):
    """The backbone cannot be loaded, or lacks what a checkpoint needs."""

    code = "backbone_error"


class RejectedAdapter(PolyheadError):
    """A checkpoint failed admission.

    Args:
        where: the Source or task that was rejected.
        problems: every reason, first found first.
    """

    code = "rejected_adapter"

    def __init__(self, where: str, problems: Sequence[Note]) -> None:
        self.where = where
        self.problems = tuple(problems)
        reasons = " ".join(f"[{note.code}] {note.message}" for note in self.problems)
        super().__init__(f"{where} was rejected: {reasons}")


class UnknownTask(PolyheadError):
    """No task of that name exists.

    Args:
        task: the name asked for.
        near: similar names that exist.
    """

    code = "unknown_task"

    def __init__(self, task: str, near: Sequence[str] = ()) -> None:
        self.task = task
        self.near = tuple(near)
        hint = f" Did you mean {', '.join(near)}?" if near else " GET /tasks lists the tasks."
        super().__init__(f"There is no task named {task!r}.{hint}")


class CapacityError(PolyheadError):
    """No slot, byte or row is left for the work now."""

    code = "no_capacity"


class OutOfMemory(CapacityError):
    """The machine's or the device's memory is full, though the settings would allow more."""

    code = "out_of_memory"


class RowFailed(PolyheadError):
    """One row's computation failed; its neighbours in the batch are not affected."""

    code = "row_failed"


class VersionFailed(RowFailed):
    """A row failed by its version's fault, not its input's: it raised, or gave no finite number."""

    code = "version_failed"


class SettingsError(PolyheadError):
    """A setting is out of range or contradicts another; the message names it."""

    code = "bad_setting"
