"""What can go wrong with a hub: which faults pass by themselves, and a sentence for each other."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from typing import TypeVar

import httpx2
from huggingface_hub import constants, errors

from adapter_runtime.errors import SourceError

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

FAULTS = (
    errors.HFValidationError,
    errors.RevisionResolutionError,
    errors.EntryNotFoundError,
    errors.XetDownloadError,
    httpx2.HTTPError,
    OSError,  # the client's own errors, and those of the disk
    ValueError,  # answers that are no JSON
    KeyError,  # and all that the client makes of JSON that says something else
    TypeError,
    AttributeError,
    AssertionError,
    RuntimeError,
)
"""All that the hub's client raises for a hub, a network or a disk that fails."""

_PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further try."""
_PAUSES_UNREACHED = 2
"""Of them, for a hub to which there is no connection at all."""
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
_UNAVAILABLE = (408, 429, 500, 502, 503, 504)


def patiently(ask: Callable[[], _T]) -> _T:
    """What `ask` returns; asked again a few times where the hub or the network hiccups.

    Raises:
        Exception: what `ask` raised, the last time.
    """
    for number, pause in enumerate(_PAUSES):
        try:
            return ask()
        except FAULTS as error:
            is_lost = any(isinstance(e, httpx2.ConnectError) for e in (error, error.__cause__))
            is_worth_it = is_away(error) and not (is_lost and number >= _PAUSES_UNREACHED)
            if not is_worth_it or constants.is_offline_mode():
                raise
            _log.info("the hub hiccups (%s); asking again in %s s", _first_line(error), pause)
            time.sleep(pause)
    return ask()


def is_away(error: BaseException) -> bool:
    """Whether nobody answered for the hub, so that a copy on this machine may stand in for it."""
    error = _answer_in(error)
    if isinstance(error, errors.HfHubHTTPError):
        return error.response.status_code in _UNAVAILABLE
    away = (
        errors.RevisionResolutionError,
        errors.LocalEntryNotFoundError,
        errors.OfflineModeIsEnabled,
        httpx2.TransportError,
    )
    return isinstance(error, away)


def _answer_in(error: BaseException) -> BaseException:
    """What was answered about a file, where the client only tells that the cache lacks it."""
    cause = error.__cause__
    is_answer = isinstance(cause, errors.HfHubHTTPError | errors.FileMetadataError)
    is_hidden = isinstance(error, errors.LocalEntryNotFoundError) and is_answer
    return cause if cause is not None and is_hidden else error


def refusal(error: Exception, said: str) -> SourceError:
    """The error for the user: what happened, and what to do."""
    return SourceError(f"{said}: {_reason(error)}")


def _reason(error: BaseException) -> str:
    error = _answer_in(error)
    # Most specific first: a gated repository's error is also a missing repository's.
    if isinstance(error, errors.GatedRepoError):
        return "it is gated; accept its terms on the hub and set HF_TOKEN."
    if isinstance(error, errors.RevisionNotFoundError):
        return "there is no such revision; check what follows the @."
    if isinstance(error, errors.HfHubHTTPError):
        return _answered(error)
    if isinstance(error, errors.FileMetadataError):
        return f"that is no answer of a hub ({_first_line(error)}); check HF_ENDPOINT."
    if is_away(error):
        return (
            "the hub does not answer and its cache here does not hold the files; check the "
            "network, HF_ENDPOINT and HF_HUB_OFFLINE."
        )
    if isinstance(error, OSError) and error.errno in _DISK:
        return f"its files cannot be kept ({error.strerror}); make room, or set HF_HOME."
    return f"the files cannot be fetched ({_first_line(error)}); try again, or check HF_ENDPOINT."


def _answered(error: errors.HfHubHTTPError) -> str:
    status = error.response.status_code
    has_token = "authorization" in error.response.request.headers
    if status == 401 and has_token and not isinstance(error, errors.RepositoryNotFoundError):
        return "the hub refuses the token (401); set HF_TOKEN to one that is valid."
    if status == 401 or isinstance(error, errors.RepositoryNotFoundError):
        return (
            "no such repository, or a private one that the token, if any, may not read; set "
            "HF_TOKEN to one that may."
        )
    if status == 403:
        return "the token may not read it (403); set HF_TOKEN to one that may."
    if status == 404:
        return (
            "the hub has no such repository or revision (404); check the Source, HF_ENDPOINT and, "
            "for a private one, HF_TOKEN."
        )
    if status in _UNAVAILABLE:
        return f"the hub answers {status} and its cache here does not hold the files; try later."
    return f"the hub answers {status} ({_first_line(error)}); check the Source and HF_ENDPOINT."


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
