"""From the place that an operator names to the store of its tasks."""

from __future__ import annotations

from pathlib import Path

from serving.catalog.directory import DirectoryStore
from serving.catalog.folders import FolderStore, adapter_folders
from serving.catalog.locks import LOCK
from serving.catalog.plans import TaskFile
from serving.catalog.remote import open_remote
from serving.catalog.single import SingleStore
from serving.catalog.stamps import yaml_files
from serving.catalog.store import CatalogStore
from serving.errors import TaskFileError

_FILE = "file://"


def read_task_file(place: str) -> TaskFile:
    """All tasks of a place, once. Blocks.

    Raises:
        TaskFileError: there is no such place, or it is broken as a whole.
    """
    return open_store(place).read()


def open_store(place: str, poll_s: float = 5.0) -> CatalogStore:
    """The catalog at a place. Blocks.

    Args:
        place: a folder of task files, which may be empty; one file for all tasks; a folder of
            bare adapter folders; or the URL of a folder or of one file.
        poll_s: seconds between looks at what cannot be watched.

    Raises:
        TaskFileError: there is no such place.
    """
    if "://" in place and not place.startswith(_FILE):
        return open_remote(place, poll_s)
    try:
        path = Path(place.removeprefix(_FILE)).expanduser().absolute()
        return _open_local(path, place, poll_s)
    except (OSError, RuntimeError, ValueError) as error:
        raise TaskFileError(f"{place}: no readable task file or folder: {error}.") from error


def _open_local(path: Path, place: str, poll_s: float) -> CatalogStore:
    if path.is_file():
        return SingleStore(path, poll_s)
    if not path.is_dir():
        raise TaskFileError(f"{place}: no such task file or folder.")
    # Once written to, a folder is a catalog also when its last task is gone.
    if not yaml_files(path) and not (path / LOCK).exists() and adapter_folders(path):
        return FolderStore(path, poll_s)
    return DirectoryStore(path, poll_s)
