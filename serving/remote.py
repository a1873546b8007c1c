"""A running server, as the command line speaks to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import orjson

from adapter_runtime import SettingsError

_TIMEOUT_S = 10.0
_PATIENT_S = 600.0
"""A change may have to read files first; the server ends its own waits long before."""
_BROKEN = (URLError, HTTPException, OSError, ValueError)


class Refused(Exception):
    """The server answered, and said no.

    Args:
        status: of HTTP.
        message: one sentence with the remedy.
        reasons: why a version was refused, each a code and a sentence.
    """

    def __init__(
        self, status: int, message: str, reasons: Sequence[Mapping[str, str]] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reasons = tuple(reasons)


class Remote:
    """The life cycle of a running server's tasks. All calls block.

    Args:
        url: such as `http://127.0.0.1:8080`.
        key: the secret of a key, where the server wants one.

    Raises:
        SettingsError: it is no such address; or, from every call, no server of ours answers there.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise SettingsError(f"{url}: write the server's address as http://host:port.")
        self._url = url.rstrip("/")
        self._headers = {"content-type": "application/json"}
        if key:
            self._headers["x-api-key"] = key

    def tasks(self) -> list[dict[str, Any]]:
        """All tasks."""
        found: list[dict[str, Any]] = self._call("GET", "/tasks")["tasks"]
        return found

    def task(self, name: str) -> dict[str, Any]:
        """One task.

        Raises:
            Refused: there is none of that name.
        """
        return self._call("GET", _path(name))

    def put(self, name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Make a task or give it a version; the task as it is then.

        Raises:
            Refused: the entry is wrong, or the catalog cannot be changed.
        """
        return self._call("PUT", _path(name), entry, _PATIENT_S)

    def delete(self, name: str, version: str | None = None) -> None:
        """Delete a task, or retire one of its versions.

        Raises:
            Refused: there is none, or the catalog cannot be changed.
        """
        path = _path(name) if version is None else _path(name, version)
        self._call("DELETE", path, patience_s=_PATIENT_S)

    def act(self, name: str, version: str, action: str) -> dict[str, Any]:
        """Promote, roll back, pin, unpin, preload or evict a version; waits for its load.

        Raises:
            Refused: it is rejected, or cannot be changed so.
        """
        path = f"{_path(name, version)}:{action}"
        return self._call("POST", path, patience_s=_PATIENT_S)

    def share(self, name: str, shares: Mapping[str, Any]) -> dict[str, Any]:
        """Share a task's traffic out.

        Raises:
            Refused: a version is unknown, or the catalog cannot be changed.
        """
        return self._call("POST", f"{_path(name)}/traffic", shares, _PATIENT_S)

    def _call(
        self, method: str, path: str, content: Any = None, patience_s: float = _TIMEOUT_S
    ) -> dict[str, Any]:
        body = None if content is None else orjson.dumps(content)
        request = Request(  # noqa: S310 - scheme checked above
            self._url + path, body, self._headers, method=method
        )
        try:
            return _answer(request, patience_s)
        except _BROKEN as error:
            raise SettingsError(
                f"{self._url}{path} gave no answer of ours ({error}); is the server running?"
            ) from error


def _answer(request: Request, patience_s: float) -> dict[str, Any]:
    try:
        with urlopen(request, timeout=patience_s) as response:  # noqa: S310 - scheme checked above
            return _object(response.read() or b"{}")
    except HTTPError as error:
        with error:
            raise _refused(error) from error


def _refused(error: HTTPError) -> Refused:
    """The server's own words; an answer in another shape is not a server of ours."""
    content = _object(error.read())
    if not isinstance(content.get("error"), str):
        raise ValueError(f"status {error.code}")
    return Refused(error.code, content["error"], content.get("reasons", ()))


def _object(body: bytes) -> dict[str, Any]:
    content = orjson.loads(body)
    if not isinstance(content, dict):
        raise ValueError("no JSON object")
    return content


def _path(name: str, version: str | None = None) -> str:
    task = f"/tasks/{quote(name, safe='')}"
    return task if version is None else f"{task}/versions/{quote(version, safe='')}"
