"""What the server raises on purpose, and the one table from errors to HTTP answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adapter_runtime import (
    BackboneError,
    CapacityError,
    InvalidInput,
    Note,
    OutOfMemory,
    PolyheadError,
    RejectedAdapter,
    RowFailed,
    SettingsError,
    SourceError,
    SourceRefused,
    TooLong,
    UnknownTask,
    VersionFailed,
)


class TaskFileError(PolyheadError):
    """A task file cannot be read or has the wrong shape as a whole."""

    code = "bad_task_file"


class BrokenEntry(TaskFileError):
    """The task's entry is broken, so that it can be replaced or deleted, but not changed."""

    code = "broken_entry"


class RejectedForNow(RejectedAdapter):
    """The version could not be read or found no room, and is tried again by itself.

    Args:
        where: the task.
        problems: every reason.
        retry_after_s: when that will be, in seconds.
    """

    def __init__(self, where: str, problems: Sequence[Note], retry_after_s: float) -> None:
        super().__init__(where, problems)
        self.retry_after_s = retry_after_s


class CatalogReadOnly(PolyheadError):
    """The catalog is a single file or bare folders, which the life-cycle API does not write."""

    code = "catalog_read_only"


class VersionConflict(PolyheadError):
    """The task is not as the change expected it, or an id stands for something else already."""

    code = "version_conflict"


class UnknownVersion(PolyheadError):
    """The task has no version of that id."""

    code = "unknown_version"


class VersionRetired(PolyheadError):
    """The version was there once and answers no more."""

    code = "version_retired"


class BodyTooLarge(PolyheadError):
    """The request body has more bytes than the server takes."""

    code = "too_large"


class CompressedBody(PolyheadError):
    """The request body is compressed, which the server does not undo."""

    code = "compressed"


class ServerBusy(PolyheadError):
    """The request cannot be taken now.

    Args:
        message: one sentence that says why.
        retry_after_s: when another try may succeed, in seconds.
    """

    code = "busy"

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QuotaExceeded(ServerBusy):
    """The key has used what it may, or has as many requests inside as it may."""

    code = "quota_exceeded"


class Unauthorized(PolyheadError):
    """The request shows no valid key."""

    code = "unauthorized"


class Forbidden(PolyheadError):
    """The key may not do what the request asks for."""

    code = "forbidden"


class Overloaded(ServerBusy):
    """The limits on concurrent requests or waiting rows are reached."""

    code = "overloaded"


class Draining(ServerBusy):
    """The server was told to stop and takes nothing new."""

    code = "draining"


class StillLoading(ServerBusy):
    """The task's weights are on their way and the client did not want to wait."""

    code = "loading"


class Quarantined(ServerBusy):
    """The version failed by itself and is checked again before it answers."""

    code = "quarantined"


class DeviceFailed(ServerBusy):
    """The device cannot run anything, so that no version is to blame."""

    code = "device_failed"


class Relayed(PolyheadError):
    """Another process of the same server refused it; what that one said is passed on.

    Args:
        refused: its words.
    """

    def __init__(self, refused: Refusal) -> None:
        super().__init__(refused.message)
        self.refused = refused


class DeadlineExceeded(PolyheadError):
    """The answer was not ready within the request's deadline."""

    code = "deadline_exceeded"


class ClientGone(PolyheadError):
    """The client closed the connection; its work is dropped."""

    code = "client_gone"


STATUS: Mapping[type[Exception], int] = {
    PolyheadError: 500,
    InvalidInput: 422,
    TooLong: 422,
    SourceError: 424,
    SourceRefused: 424,
    BackboneError: 500,
    RejectedAdapter: 424,
    RejectedForNow: 424,
    UnknownTask: 404,
    CapacityError: 503,
    OutOfMemory: 503,
    RowFailed: 500,
    VersionFailed: 500,
    SettingsError: 500,
    TaskFileError: 500,
    BrokenEntry: 409,
    CatalogReadOnly: 409,
    VersionConflict: 409,
    UnknownVersion: 404,
    VersionRetired: 410,
    Relayed: 500,
    BodyTooLarge: 413,
    CompressedBody: 415,
    ServerBusy: 503,
    Overloaded: 429,
    QuotaExceeded: 429,
    Unauthorized: 401,
    Forbidden: 403,
    Draining: 503,
    StillLoading: 503,
    Quarantined: 503,
    DeviceFailed: 503,
    DeadlineExceeded: 504,
    ClientGone: 499,
}
_RETRY_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as a client sees it; plain and picklable.

    Args:
        reasons: why a version was refused, each with its own code; empty for other errors.
    """

    status: int
    code: str
    message: str
    retry_after_s: float | None = None
    reasons: tuple[Note, ...] = ()


def refusal(error: BaseException) -> Refusal:
    """How any error is answered; what was not raised on purpose says nothing of the inside."""
    if isinstance(error, Relayed):
        return error.refused
    if not isinstance(error, PolyheadError):
        message = (
            "Something failed inside the server; its log has the reason under this request id."
        )
        return Refusal(500, PolyheadError.code, message)
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    retry_after_s = getattr(error, "retry_after_s", _RETRY_AFTER_S if status == 503 else None)
    return Refusal(status, error.code, str(error), retry_after_s, _reasons(error, status))


def _reasons(error: PolyheadError, status: int) -> tuple[Note, ...]:
    """Every reason of a refused version; what failed before its files were read has but one."""
    if status != 424:
        return ()
    found: tuple[Note, ...] = getattr(error, "problems", ())
    return found or (Note(error.code, str(error)),)
