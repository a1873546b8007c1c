"""`hf://org/name@revision/sub/folder`: files of a Hugging Face hub repository.

Only files that Polyhead reads are fetched. The hub's own cache and environment variables
(`HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`, `HF_HUB_DOWNLOAD_TIMEOUT`) apply. A commit
that is whole in the cache is used without asking the hub.

Source: https://huggingface.co/docs/huggingface_hub/guides/download
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from huggingface_hub import hf_hub_download

from adapter_runtime.errors import SourceError
from adapter_runtime.sources.hub_cache import (
    HubFiles,
    cached_files,
    cached_hub_folder,
    cached_leavings,
    fetch_mark,
    keep_listing,
    sweep,
    wanted,
)
from adapter_runtime.sources.hub_faults import FAULTS, is_away, patiently, refusal
from adapter_runtime.sources.hub_listing import Listed, listing, resolved
from adapter_runtime.sources.hub_names import HubPlace
from adapter_runtime.sources.hub_watch import WatchedBar, watched
from adapter_runtime.sources.rules import SourceRules, check_sizes
from adapter_runtime.sources.wanted import present_files

_log = logging.getLogger(__name__)

_SHA256 = re.compile(r"[0-9a-f]{64}")
_AT_ONCE = 4


def pinned(place: HubPlace, said: str) -> HubPlace:
    """The place at the commit that its revision names now. Blocks.

    Where the hub is away it is the commit that the cache remembers.

    Raises:
        SourceError: the hub does not have it, or is away and the cache has no answer.
    """
    if place.commit:
        return place
    try:
        return resolved(place, said)
    except FAULTS as error:
        raise refusal(error, said) from error


def hub_folder(place: HubPlace, said: str, rules: SourceRules) -> HubFiles:
    """The folder in the hub's cache on this machine, fetched first where needed. Blocks.

    Args:
        place: what to fetch.
        said: the Source, for messages.
        rules: the limits on sizes.

    Raises:
        SourceError: the hub or its cache does not have it, refuses it, or a file is too large.
    """
    place = pinned(place, said)
    kept = cached_hub_folder(place)
    if kept and _is_sound(kept, said):
        return kept
    try:
        return _fetched(place, said, rules)
    except FAULTS as error:
        kept = cached_leavings(place)
        if kept is None or not is_away(error):
            raise refusal(error, said) from error
    # A cache that another program filled has no listing: what lies there must do.
    _log.warning("%s: the hub is away; using the copy in its cache", said)
    return kept


def _fetched(place: HubPlace, said: str, rules: SourceRules) -> HubFiles:
    listed = listing(place, said)
    names = wanted(place, listed)
    if not names:
        what = f"no folder {place.folder}" if place.folder.parts else "nothing"
        raise SourceError(
            f"{said}: {place.repo} has {what} that can be used, with files of an adapter, a head "
            "or a backbone; check the Source."
        )
    check_sizes({name: listed[name].size for name in names}, said, rules)
    mark = fetch_mark(place)
    with suppress(OSError):
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    _fetch_all(place, {name: listed[name] for name in names}, said, rules)
    with suppress(SourceError, *FAULTS), watched(said, "its listing"):
        keep_listing(place, names)
    with suppress(OSError):
        mark.unlink(missing_ok=True)
    kept = cached_files(place, names)
    if kept is None:
        raise SourceError(f"{said}: its files vanished from the cache; try again.")
    sweep(place)
    return kept


def _fetch_all(place: HubPlace, files: Mapping[str, Listed], said: str, rules: SourceRules) -> None:
    stated = {name: listed for name, listed in files.items() if listed.size}
    with ThreadPoolExecutor(_AT_ONCE, "hub") as threads:
        fetches = [
            threads.submit(
                _fetch, place, name, listed, min(listed.size, rules.max_file_bytes), said
            )
            for name, listed in stated.items()
        ]
        try:
            for fetch in fetches:
                fetch.result()
        finally:
            threads.shutdown(cancel_futures=True)
    # Where the listing has no sizes each file gets what the ones before have left.
    left = rules.max_source_bytes - sum(listed.size for listed in stated.values())
    for name in files.keys() - stated.keys():
        left -= _fetch(place, name, files[name], min(left, rules.max_file_bytes), said)


def _fetch(place: HubPlace, name: str, listed: Listed, limit: int, said: str) -> int:
    with watched(said, name, limit):
        path = patiently(
            lambda: hf_hub_download(
                place.repo, name, revision=place.revision, tqdm_class=WatchedBar
            )
        )
    _check_hash(Path(path), name, listed.sha256, said)
    return Path(path).stat().st_size


def _is_sound(kept: HubFiles, said: str) -> bool:
    """Whether nobody damaged the cache's files; all that somebody did are removed."""
    names = present_files(kept.root)
    # Every one is looked at: what is damaged must be gone before the folder is fetched again.
    return sum(_is_whole(kept.root / name, name, said) for name in names) == len(names)


def _is_whole(path: Path, name: str, said: str) -> bool:
    try:
        _check_hash(path, name, None, said)
    except (SourceError, OSError) as error:
        _log.warning("%s", error)
        return False
    return True


def _check_hash(path: Path, name: str, sha256: str | None, said: str) -> None:
    """Large files are named by their hash: where it is another one, the copy is removed."""
    stored = path.parent / path.readlink() if path.is_symlink() else path
    stated = {text for text in (sha256, stored.name) if text and _SHA256.fullmatch(text)}
    if not stated:
        return
    facts = path.stat()
    found = _hash(str(path), facts.st_ino, facts.st_mtime_ns, facts.st_size)
    if stated != {found}:
        for copy in (path.resolve(), stored, path):
            copy.unlink(missing_ok=True)
        raise SourceError(
            f"{said}: {name} is not what the hub says it is (its SHA-256 is wrong); the copy was "
            "removed, try again."
        )


@lru_cache(maxsize=65536)
def _hash(path: str, *_stamp: int) -> str:
    """SHA-256 (hex) of a file, read once for as long as its inode, time and size stay."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
