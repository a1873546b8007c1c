"""What the hub's cache on this machine holds; asks no network."""

from __future__ import annotations

import glob
import hashlib
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from huggingface_hub import (
    HfApi,
    constants,
    get_cached_repo_tree,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.constants import REPO_TYPE_MODEL
from huggingface_hub.errors import CachedRepoTreeNotFoundError
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

from adapter_runtime.sources.hub_faults import FAULTS
from adapter_runtime.sources.hub_names import HubPlace, is_commit_name
from adapter_runtime.sources.wanted import pick_files

_DAY_S = 24 * 3600


class HubFiles(NamedTuple):
    """A folder in the cache, and what names its files for good."""

    root: Path
    identity: str


class Silent(tqdm):
    """A progress bar that shows nothing: a server's log is no place for it."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]


def cached_hub_folder(place: HubPlace) -> HubFiles | None:
    """The folder in the cache if all of its files are there."""
    try:
        if not place.commit:
            known = HfApi().resolve_revision(
                place.repo, revision=named(place), local_files_only=True
            )
            place = place._replace(revision=known.resolved)
        names = _known(constants.HF_HUB_CACHE, place)
    except (CachedRepoTreeNotFoundError, *FAULTS):
        return None
    is_known = place.revision is not None and is_commit_name(place.revision)
    is_whole = is_known and names and not fetch_mark(place).exists()
    return cached_files(place, names) if is_whole else None


@lru_cache(maxsize=4096)
def _known(cache: str, place: HubPlace) -> tuple[str, ...]:
    """The files that are read, by the listing that the cache keeps of a commit.

    Raises:
        CachedRepoTreeNotFoundError: it keeps none.
    """
    return wanted(
        place, [file.path for file in get_cached_repo_tree(place.repo, revision=place.revision)]
    )


def cached_files(place: HubPlace, names: Sequence[str]) -> HubFiles | None:
    """The folder, if the cache has these files."""
    paths = [try_to_load_from_cache(place.repo, name, revision=place.revision) for name in names]
    found = [path for path in paths if isinstance(path, str)]
    if len(found) < len(names):
        return None
    root = Path(found[0]).parents[len(PurePosixPath(names[0]).parts) - 1]
    return HubFiles(root / place.folder, place.identity)


def cached_leavings(place: HubPlace) -> HubFiles | None:
    """The folder with whatever the cache has of it, unless a fetching broke off."""
    if fetch_mark(place).exists():
        return None
    try:
        root = snapshot_download(place.repo, revision=place.revision, local_files_only=True)
    except FAULTS:
        return None
    folder = Path(root) / place.folder
    return HubFiles(folder, place.identity) if folder.is_dir() else None


def keep_listing(place: HubPlace, names: Iterable[str]) -> None:
    """Let the cache keep a listing, and with it the word that these files are whole. Blocks.

    Raises:
        Exception: one of `FAULTS`.
    """
    if not place.commit:
        # The client knows commits by their 40 digits, and whatever else by its refs.
        ref = _repository(place) / "refs" / named(place)
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(named(place))
    patterns = [glob.escape(name) for name in names]
    snapshot_download(
        place.repo, revision=place.revision, allow_patterns=patterns, tqdm_class=Silent
    )


def fetch_mark(place: HubPlace) -> Path:
    """A file that is there from the start of a fetching until its files are found to be good."""
    name = hashlib.sha256(place.identity.encode()).hexdigest()[:32]
    # Where the client keeps its locks, which other programs do not take for repositories.
    return Path(constants.HF_HUB_CACHE).expanduser() / ".locks" / f".polyhead-{name}"


def sweep(place: HubPlace) -> None:
    """Remove what killed processes left beside a folder's files, once it is a day old."""
    before = time.time() - _DAY_S
    with suppress(OSError):
        for path in (_repository(place) / "blobs").glob("*.incomplete"):
            if path.stat().st_mtime < before:
                path.unlink()


def _repository(place: HubPlace) -> Path:
    cache = Path(constants.HF_HUB_CACHE).expanduser()
    return cache / repo_folder_name(repo_id=place.repo, repo_type=REPO_TYPE_MODEL)


def named(place: HubPlace) -> str:
    """The revision to ask for."""
    return place.revision or constants.DEFAULT_REVISION


def wanted(place: HubPlace, paths: Iterable[str]) -> tuple[str, ...]:
    """Paths in the repository of the files that are read."""
    folder = PurePosixPath(place.folder.as_posix())
    within = [path for path in map(PurePosixPath, paths) if path.is_relative_to(folder)]
    picked = pick_files([path.relative_to(folder).as_posix() for path in within])
    return tuple((folder / name).as_posix() for name in picked)
