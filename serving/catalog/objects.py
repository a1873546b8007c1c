"""A folder of objects behind a URL, as any store that fsspec knows has it."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from serving.catalog.text import etag_of
from serving.errors import TaskFileError

_SIGNS = re.compile(r"etag|modified|mtime|updated|created|md5|sha|generation|version|hash", re.I)
_PASSWORD = re.compile(r"(?<=://)[^/@]*@")
_NOT_WRITTEN = "not written"
_REFUSED = re.compile(r"pre-?condition|conditional ?request ?conflict|\b412\b|\b409\b", re.I)
_UNKNOWN = re.compile(r"not ?implemented|not supported|\b501\b", re.I)


class Objects:
    """Reads, lists and puts whole objects; what the store's library raises becomes a sentence.

    Args:
        url: of a folder or of one object.

    Raises:
        TaskFileError: no library for such URLs is installed.
    """

    def __init__(self, url: str) -> None:
        self.said = _PASSWORD.sub("", url)
        try:
            from fsspec.core import url_to_fs  # loaded only where a catalog is at a URL

            self._system, self.root = url_to_fs(url)
        except (ImportError, ValueError, OSError) as error:
            raise TaskFileError(
                f"{self.said}: cannot be opened: {error}. Install the package for such URLs, such "
                "as s3fs for s3://."
            ) from error
        self._creates = _takes_mode(self._system)
        self._swaps = "s3" in self._system.protocol

    def list(self) -> dict[str, Mapping[str, Any]] | None:
        """Each object of the folder by its name, with what the listing says; None without folder.

        Raises:
            TaskFileError: it cannot be listed.
        """
        try:
            with suppress(NotImplementedError):
                self._system.invalidate_cache()
            infos = self._system.ls(self.root, detail=True)
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self.failure("not listed", error) from error
        files = (info for info in infos if info.get("type") != "directory")
        return {info["name"].rstrip("/").rpartition("/")[2]: info for info in files}

    def read(self, path: str) -> bytes:
        """One object.

        Raises:
            FileNotFoundError: it is gone.
            TaskFileError: it cannot be read.
        """
        try:
            with suppress(NotImplementedError):
                self._system.invalidate_cache()
            data: bytes = self._system.cat_file(path)
        except FileNotFoundError:
            raise
        except Exception as error:
            raise self.failure("not readable", error) from error
        return data

    def look(self, path: str) -> bytes | None:
        """One object; None where there is none.

        Raises:
            TaskFileError: it cannot be read.
        """
        try:
            return self.read(path)
        except FileNotFoundError:
            return None

    def read_all(self, paths: Iterable[str]) -> dict[str, bytes | Exception]:
        """Several objects, at once where the store can."""
        wanted = list(paths)
        if not wanted:
            return {}
        try:
            found: dict[str, bytes | Exception] = self._system.cat(wanted, on_error="return")
        except Exception as error:
            return dict.fromkeys(wanted, error)
        return found

    def create(self, path: str, data: bytes) -> bool:
        """Put an object that is not there; False where it is.

        One step where the store can; where not, a look and then a put.

        Raises:
            TaskFileError: it could not be put.
        """
        if self._creates:
            put = self._put(path, data, mode="create")
            if put is not None:
                return put
        try:
            is_there = self._system.exists(path)
        except Exception as error:
            raise self.failure(_NOT_WRITTEN, error) from error
        return not is_there and bool(self._put(path, data))

    def swap(self, path: str, etag: str, data: bytes) -> bool:
        """Put an object in place of exactly the bytes that have an etag; False where others are.

        One step where the store can; where not, a look and then a put.

        Raises:
            TaskFileError: it could not be put.
        """
        try:
            condition = self._condition(path)
            if etag_of(self.read(path)) != etag:
                return False
        except FileNotFoundError:
            return False
        put = self._put(path, data, **condition) if condition else None
        return bool(self._put(path, data) if put is None else put)

    def _condition(self, path: str) -> dict[str, str]:
        """What a put is told so that it replaces the object as it is now and no other one."""
        if not self._swaps:
            return {}
        try:
            sign = self._system.info(path, refresh=True).get("ETag")
        except FileNotFoundError:
            raise
        except Exception as error:
            raise self.failure("not readable", error) from error
        return {"IfMatch": sign} if sign else {}

    def _put(self, path: str, data: bytes, **condition: str) -> bool | None:
        """Whether it was put; None where the store does not know such a condition."""
        try:
            self._system.pipe_file(path, data, **condition)
        except FileExistsError:
            return False
        except Exception as error:
            said = f"{type(error).__name__} {error}"
            if condition and _REFUSED.search(said):
                return False
            if condition and _UNKNOWN.search(said):
                return None
            raise self.failure(_NOT_WRITTEN, error) from error
        return True

    def remove(self, path: str) -> None:
        """Remove an object; none there is fine.

        Raises:
            TaskFileError: it is still there.
        """
        try:
            self._system.rm_file(path)
        except FileNotFoundError:
            pass
        except Exception as error:
            raise self.failure("not removed", error) from error

    def sign(self, info: Mapping[str, Any]) -> str:
        """What differs when the object does: the listing's word, or else its bytes.

        Raises:
            FileNotFoundError, TaskFileError: it had to be read, and could not be.
        """
        told = {key: value for key, value in info.items() if _SIGNS.search(key)}
        if not any(value is not None for value in told.values()):
            return etag_of(self.read(info["name"]))
        return json.dumps([info.get("size"), told], default=str, sort_keys=True)

    def failure(self, what: str, error: Exception) -> TaskFileError:
        """The store's error as a sentence."""
        if isinstance(error, TaskFileError):
            return error
        why = _PASSWORD.sub("", str(error)) or type(error).__name__
        remedy = "see that it can be reached, and the rights of these credentials"
        return TaskFileError(f"{self.said}: {what}: {why}; {remedy}.")


def _takes_mode(system: Any) -> bool:
    """Whether a put can be told to make the object or fail."""
    put = getattr(system, "_pipe_file", system.pipe_file)
    return "mode" in inspect.signature(put).parameters
