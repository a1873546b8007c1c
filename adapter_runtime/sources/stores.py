"""URLs of any store that fsspec knows, such as `s3://bucket/folder`: copied to this machine.

A copy is kept under what the store's listing says of the files, so that it is used for as long as
that stays the same, and is made again when it changes.

Source: https://filesystem-spec.readthedocs.io/en/latest/
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import fsspec

from adapter_runtime.errors import SourceError
from adapter_runtime.sources.rules import SourceRules, check_sizes
from adapter_runtime.sources.store_copies import Copies
from adapter_runtime.sources.wanted import is_numbered, pick_files

_log = logging.getLogger(__name__)

_PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), "polyhead[s3]"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss"), "adlfs"),
    **dict.fromkeys(("http", "https"), "aiohttp"),
}
"""What to install for a scheme."""
_NO_STORES = frozenset(
    {"async_wrapper", "asyncwrapper", "asynclocal", "blockcache", "cached", "dask", "data", "dir"}
    | {"filecache", "generic", "libarchive", "pyscript", "reference", "simplecache", "tar", "zip"}
)
"""Wrappers around other file systems: what is allowed must not depend on what is inside."""
_FACTS = (
    "ETag",
    "etag",
    "md5Hash",
    "content_md5",
    "checksum",
    "crc32c",
    "version_id",
    "generation",
)
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")
_PAUSES = (0.5,)
"""Seconds before the second try; drivers have their own tries, too."""
_WAITS = {"connect_timeout": 5, "read_timeout": 10, "retries": {"max_attempts": 0}}
_OPTIONS = {scheme: {"config_kwargs": _WAITS} for scheme in ("s3", "s3a")}
"""By its own settings S3's driver waits for many minutes. `config_kwargs` in `FSSPEC_S3` win."""
_CHUNK = 1 << 20
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})


class _File(NamedTuple):
    path: str
    size: int | None
    facts: tuple[str, ...]


def store_folder(url: str, said: str, rules: SourceRules) -> Path:
    """The folder with a copy of the files; copied first where needed. Blocks.

    Args:
        url: of a folder in the store.
        said: the Source, for messages.
        rules: the limits on sizes, and where copies are kept.

    Raises:
        SourceError: the store is unknown or refuses, has no such files, they are too large, or it
            is away and no copy is here.
    """
    copies = Copies(rules.cache(), url)
    kept = copies.newest()
    # With a copy at hand nobody shall wait for a store that is away.
    for pause in (None,) if kept else (*_PAUSES, None):
        try:
            system, root = _open(url, said)
            return _current(system, root, copies, said, rules)
        except SourceError:
            raise
        except Exception as error:  # drivers raise what their libraries raise
            if answer := _answered(error):
                raise SourceError(f"{said}: {answer}") from error
            problem, cause = _first_line(error), error
        if pause is not None:
            _log.info("%s: the store hiccups (%s)", said, problem)
            time.sleep(pause)
    if kept is None:
        raise SourceError(
            f"{said}: the store does not answer ({problem}) and no copy is here; check the "
            "network, the address and the credentials."
        ) from cause
    _log.warning("%s: the store does not answer (%s); using the copy here", said, problem)
    return kept


def cached_store_folder(url: str, rules: SourceRules) -> Path | None:
    """The copy that was asked for last, if one is here; asks no network."""
    return Copies(rules.cache(), url).newest()


def _open(url: str, said: str) -> tuple[Any, str]:
    scheme = url.partition("://")[0]
    try:
        if scheme in _NO_STORES:
            raise ValueError(scheme)
        is_set = "config_kwargs" in fsspec.config.conf.get(scheme, {})
        options = {} if is_set else _OPTIONS.get(scheme, {})
        system, root = fsspec.core.url_to_fs(url, **options)
        return system, str(root)
    except ImportError as error:
        package = _PACKAGES.get(scheme)
        how = f"pip install '{package}'" if package else _first_line(error)
        raise SourceError(f"{said}: {scheme}:// needs one more package: {how}.") from error
    except ValueError as error:
        raise SourceError(
            f"{said}: {scheme}:// is unknown; write a path, or one of hf://, pkg://, file://, "
            "s3:// or another scheme that fsspec knows."
        ) from error


def _current(system: Any, root: str, copies: Copies, said: str, rules: SourceRules) -> Path:
    files = _listed(system, root)
    if not files:
        raise SourceError(
            f"{said}: there is no such folder, or it holds no files of an adapter, a head or a "
            "backbone; check the URL."
        )
    check_sizes({name: file.size or 0 for name, file in files.items()}, said, rules)
    key = _key(files)
    if folder := copies.folder(key):
        return folder

    def fill(folder: Path) -> None:
        """Copy each file into the folder."""
        left = rules.max_source_bytes
        for name, file in files.items():
            left -= _copy(system, file, folder / name, said, min(left, rules.max_file_bytes))
        if _key(_listed(system, root)) != key:
            raise OSError("the files changed while they were copied")

    return copies.make(key, said, fill)


def _listed(system: Any, root: str) -> dict[str, _File]:
    """The files that are read, by their path in the folder."""
    found = {
        PurePosixPath(entry["name"]).relative_to(root).as_posix(): entry
        for entry in _entries(system, root)
        if PurePosixPath(entry["name"]).is_relative_to(root)
    }
    return {name: _file(system, found[name]) for name in pick_files(found)}


def _entries(system: Any, root: str, depth: int = 1) -> Iterator[Mapping[str, Any]]:
    system.invalidate_cache(root)
    for entry in system.ls(root, detail=True):
        entry = {**entry, "name": str(entry["name"]).rstrip("/")}
        if entry["name"] == root.rstrip("/"):
            continue
        if entry["type"] == "file":
            yield entry
        elif depth and is_numbered(PurePosixPath(entry["name"]).name):
            yield from _entries(system, entry["name"], depth - 1)


def _file(system: Any, entry: Mapping[str, Any]) -> _File:
    if entry.get("size") is None:
        entry = {**entry, **system.info(entry["name"])}
    known = [key for key in _FACTS if entry.get(key)] or [key for key in _TIMES if entry.get(key)]
    size = entry.get("size")
    return _File(
        str(entry["name"]), None if size is None else int(size), tuple(str(entry[k]) for k in known)
    )


def _key(files: Mapping[str, _File]) -> str:
    """A name for exactly these files, as far as the listing tells them apart."""
    facts = [[name, file.size, file.facts] for name, file in sorted(files.items())]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _copy(system: Any, file: _File, target: Path, said: str, limit: int) -> int:
    target.parent.mkdir(parents=True, exist_ok=True)
    most = limit if file.size is None else min(file.size, limit)
    copied = 0
    with system.open(file.path, "rb") as source, target.open("wb") as copy:
        while chunk := source.read(_CHUNK):
            copied += len(chunk)
            if copied > most:
                raise SourceError(
                    f"{said}: {target.name} has more than the {most} bytes that the store "
                    "announced or the limits allow; cut off."
                )
            copy.write(chunk)
    if file.size is not None and copied < file.size:
        raise OSError(f"{target.name} ended after {copied} of {file.size} bytes")
    return copied


def _answered(error: Exception) -> str | None:
    """What to say where another try would end as this one; None for what may pass."""
    if isinstance(error, PermissionError):
        return "the store refuses to show it; check the credentials."
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "there is no such folder; check the URL."
    if isinstance(error, OSError) and error.errno in _DISK:
        return f"the copy cannot be written ({error.strerror}); make room, or set cache_dir."
    return None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
