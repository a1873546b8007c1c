"""How repositories of a hub are named: `hf://org/name@revision/sub/folder`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

from adapter_runtime.errors import SourceError
from adapter_runtime.sources.folder import inner_path

_ID = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_COMMIT_NAME = re.compile(r"[0-9A-Za-z_-]{1,64}")
"""Mirrors name their commits in many ways; the name becomes that of a folder here."""


class HubPlace(NamedTuple):
    """A parsed hub Source; `revision` None means the default branch."""

    repo: str
    revision: str | None
    folder: Path

    @property
    def commit(self) -> str | None:
        """The revision, where it is a commit and so can never mean anything else."""
        is_commit = self.revision is not None and _COMMIT.fullmatch(self.revision)
        return self.revision if is_commit else None

    @property
    def identity(self) -> str:
        """`org/name@commit/folder`: what the files are, once the revision is a commit."""
        folder = "" if self.folder == Path() else f"/{self.folder.as_posix()}"
        return f"{self.repo}@{quote(self.revision or '', safe='')}{folder}"


def parse_hub(rest: str, source: str) -> HubPlace:
    """Split `org/name@revision/sub/folder`; a slash within a revision is written `%2F`.

    Raises:
        SourceError: no valid repository name, or the sub-folder leads out of it.
    """
    parts = rest.split("/")
    size = 1 if "@" in parts[0] else 2
    repo, at, revision = "/".join(parts[:size]).partition("@")
    if not _ID.fullmatch(repo) or ".." in repo or _climbs(repo) or (at and not revision):
        raise SourceError(
            f"{source}: {rest!r} names no repository; write hf://org/name@revision/sub/folder."
        )
    meant = unquote(revision)
    if _climbs(meant) or "\0" in meant or "\\" in meant or meant.startswith("/"):
        raise SourceError(f"{source}: {revision!r} is no revision; check what follows the @.")
    return HubPlace(repo, meant or None, inner_path("/".join(parts[size:]), source))


def is_commit_name(text: str) -> bool:
    """Whether a hub may name a commit so."""
    return bool(_COMMIT_NAME.fullmatch(text))


def _climbs(text: str) -> bool:
    return any(part in ("", ".", "..") for part in text.split("/")) if text else False


def is_hub_name(text: str) -> bool:
    """Whether the text could be `name` or `org/name`, with or without `@revision`."""
    name = text.partition("@")[0]
    return text.count("/") <= 1 and not text.startswith(".") and bool(_ID.fullmatch(name))
