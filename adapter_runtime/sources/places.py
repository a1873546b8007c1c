"""What a Source names, told apart before anything is opened.

A Source is written in many ways, and only what it comes to can be held against a list of allowed
ones: paths without links and `..`, repositories without revisions, URLs without tricks.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from adapter_runtime.errors import SourceError
from adapter_runtime.sources.hub_names import HubPlace, is_hub_name, parse_hub
from adapter_runtime.sources.old_names import hub_source, is_old_task, refuse_old_name
from adapter_runtime.sources.package import parse_package

_SAME = {"local": "file", "s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az"}
"""Other names of one store, and the name that they are judged by."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a Source's files are.

    Args:
        scheme: `file`, `pkg`, `hf`, or that of a URL.
        parts: what a list of allowed Sources is held against, from the outside in.
        said: the Source, for messages.
        path: of a folder on this machine, without links.
        hub: the repository, revision and folder.
        url: of a store that fsspec reads.
    """

    scheme: str
    parts: tuple[str, ...]
    said: str
    path: Path | None = None
    hub: HubPlace | None = None
    url: str | None = None


def find_place(source: str, base: Path | str | None = None) -> Place:
    """What a Source names.

    Args:
        source: as a user wrote it.
        base: the folder or URL that a relative path starts from; None means the working directory,
            and that a name which is no folder here is one on the hub.

    Raises:
        SourceError: it names nothing; says what to write.
    """
    _refuse_unwritable(source)
    if isinstance(base, str):
        source = absolute(source, base)
    scheme, separator, rest = source.partition("://")
    if separator:
        return _by_scheme(scheme, rest, source)
    path = _path(source, base if isinstance(base, Path) else Path())
    if _exists(path):
        return _local(path, source)
    if today := hub_source(source):
        return _hub(today.removeprefix("hf://"), source)
    if base is None:
        refuse_old_name(source)
        if is_hub_name(source):
            return _hub(source, f"{source} (no such folder here, so taken for a hub name)")
    return _local(path, source)


def absolute(source: str, base: Path | str) -> str:
    """The Source with a relative path made absolute; URLs stay, old names become URLs if they can.

    Args:
        source: a Source as a task file states it.
        base: the folder that the task file lies in, or its URL.

    Raises:
        SourceError: the path climbs out of the URL's bucket or host.
    """
    if "://" in source:
        return source
    if isinstance(base, str) and "://" in base:
        return _below(source, base)
    path = _path(source, Path(base)).absolute()
    if _exists(path):
        return str(path)
    if is_old_task(source) and not _exists(Path(source)):
        return source  # `resolve` says what to write today.
    return hub_source(source) or str(path)


def plain_scheme(scheme: str) -> str:
    """The one name of a scheme that has several."""
    return _SAME.get(scheme, scheme)


def _below(source: str, base: str) -> str:
    scheme, _, rest = base.partition("://")
    if plain_scheme(scheme) == "file":
        return absolute(source, Path(rest))
    if today := hub_source(source):
        return today
    if not source or _path(source, Path()).is_absolute():
        return source
    host, _, folder = rest.partition("/")
    inner = posixpath.normpath(posixpath.join(folder, source))
    if inner.split("/")[0] == "..":
        raise SourceError(f"{source}: leads out of {scheme}://{host}; write the whole Source.")
    return f"{scheme}://{host}" if inner == "." else f"{scheme}://{host}/{inner}"


def _refuse_unwritable(source: str) -> None:
    try:
        is_text = bool(source) and "\0" not in source and bool(source.encode())
    except UnicodeEncodeError:  # half of a pair of surrogates, as JSON can hold
        is_text = False
    if not is_text:
        raise SourceError(f"{source!a} is no Source; write a path, pkg://…, hf://… or s3://….")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long, a folder that may not be looked into
        return False


def _path(source: str, base: Path) -> Path:
    try:
        return base / Path(source).expanduser()
    except (RuntimeError, ValueError) as error:  # no such user's home, no name of a user
        raise SourceError(
            f"{source}: there is no such home folder; write the whole path."
        ) from error


def _by_scheme(scheme: str, rest: str, source: str) -> Place:
    if scheme == "hf":
        return _hub(rest, source)
    if scheme == "pkg":
        module, folder = parse_package(rest, source)
        return Place("pkg", (module, *folder.parts), source)
    if plain_scheme(scheme) == "file":
        if not rest.startswith("/") or "\0" in rest:
            raise SourceError(f"{source}: write the whole path, as in file:///srv/adapters/x.")
        return _local(Path(rest), source)
    return _store(scheme, rest, source)


def _local(path: Path, source: str) -> Place:
    try:
        found = path.resolve()
    except (OSError, RuntimeError) as error:
        raise SourceError(f"{source}: its links lead in a circle; check the path.") from error
    return Place("file", found.parts, source, path=found)


def _hub(rest: str, said: str) -> Place:
    place = parse_hub(rest, said)
    return Place("hf", (*place.repo.split("/"), *place.folder.parts), said, hub=place)


def _store(scheme: str, rest: str, source: str) -> Place:
    parts = tuple(rest.rstrip("/").split("/"))
    plain = unquote(unquote(rest))
    odd = "::" in source or not all(parts) or set(plain) & set("\0\\?#*")
    if odd or {".", ".."} & set(plain.split("/")):
        raise SourceError(
            f"{source}: a URL is scheme://bucket/folder, without empty parts, `.`, `..` or any "
            "of ? # * \\ ::."
        )
    return Place(plain_scheme(scheme), parts, source, url=f"{scheme}://{'/'.join(parts)}")
