"""A running server, as the command line speaks to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import httpx2
import orjson

from serving.access import Access
from serving.unanswered import no_answer

_TIMEOUT_S = 10.0
_PATIENT_S = 600.0
"""A change may have to read files first; the server ends its own waits long before."""


class Refused(Exception):
    """The server answered, and said no.

    Args:
        status: of HTTP.
        message: one sentence with the remedy.
        reasons: why a version was refused, each a code and a sentence.
        retry_s: when it says that it can be asked again, in seconds; None where it does not.
    """

    def __init__(
        self,
        status: int,
        message: str,
        reasons: Sequence[Mapping[str, str]] = (),
        retry_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reasons = tuple(reasons)
        self.retry_s = retry_s


class Predicted(NamedTuple):
    """An answer, and whether its input was cut for it."""

    outputs: Any
    is_cut: bool


class Remote:
    """A running server's tasks: what they answer, and their life cycle. All calls block.

    Args:
        access: where it is, and how it is entered.
        patience_s: how long a question may take, in seconds.

    Raises:
        SettingsError: the access is wrong; or, from every call, no server of ours
            answers there.
    """

    def __init__(self, access: Access, patience_s: float = _TIMEOUT_S) -> None:
        self._url = access.address()
        self._client = httpx2.Client(
            headers=access.headers(), verify=access.trust(), timeout=patience_s
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of its connections."""
        self._client.close()

    def predict(self, name: str, body: Mapping[str, Any], version: str | None = None) -> Predicted:
        """A task's answer.

        Raises:
            Refused: there is none of that name, the input is wrong, or there is no room.
        """
        path = f"/models/{_named(name)}"
        path += "" if version is None else f"?version={quote(version, safe='')}"
        response = self._send("POST", path, body, _PATIENT_S)
        return Predicted(
            self._read(path, response, orjson.loads), "x-truncated" in response.headers
        )

    def post(self, path: str, body: bytes) -> Any:
        """The answer to a body.

        Raises:
            Refused: the server says no.
        """
        return self._read(path, self._send("POST", path, body, _PATIENT_S), orjson.loads)

    def metrics(self) -> str:
        """The server's metrics, as Prometheus reads them.

        Raises:
            Refused: the key may not see them.
        """
        response = self._send("GET", "/metrics")
        text: str = self._read("/metrics", response, bytes.decode)
        return text

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
        self, method: str, path: str, content: Any = None, patience_s: float | None = None
    ) -> dict[str, Any]:
        found: dict[str, Any] = self._read(
            path, self._send(method, path, content, patience_s), _object
        )
        return found

    def _send(
        self, method: str, path: str, content: Any = None, patience_s: float | None = None
    ) -> httpx2.Response:
        is_ready = content is None or isinstance(content, bytes)
        body = content if is_ready else orjson.dumps(content)
        waits = httpx2.USE_CLIENT_DEFAULT if patience_s is None else httpx2.Timeout(patience_s)
        try:
            return self._client.request(method, self._url + path, content=body, timeout=waits)
        except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:
            raise no_answer(self._url + path, error) from error

    def _read(self, path: str, response: httpx2.Response, read: Callable[[bytes], Any]) -> Any:
        try:
            if response.is_success:
                return read(response.content)
            raise refused(response)
        except ValueError as error:
            raise no_answer(self._url + path, error) from error


def refused(response: httpx2.Response) -> Refused:
    """The server's own words; an answer in another shape is not a server of ours."""
    content = _object(response.content)
    if not isinstance(content.get("error"), str):
        raise ValueError(f"status {response.status_code}")
    wait = response.headers.get("retry-after", "")
    retry_s = float(wait) if wait.isdecimal() else None
    return Refused(response.status_code, content["error"], content.get("reasons", ()), retry_s)


def _object(body: bytes) -> dict[str, Any]:
    content = orjson.loads(body or b"{}")
    if not isinstance(content, dict):
        raise ValueError("no JSON object")
    return content


def _path(name: str, version: str | None = None) -> str:
    task = f"/tasks/{_named(name)}"
    return task if version is None else f"{task}/versions/{quote(version, safe='')}"


def _named(name: str) -> str:
    """A task's name in a path; what cannot stand there is no name, whatever route it is."""
    if not name or name in (".", "..") or "/" in name:
        raise Refused(404, f"There is no task {name!r}; `polyhead tasks` lists those there are.")
    return quote(name, safe="")
