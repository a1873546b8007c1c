"""From a Source as users write it to a folder of files on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from adapter_runtime.errors import SourceError
from adapter_runtime.sources.folder import MAX_FILE_BYTES, Folder
from adapter_runtime.sources.hub import hub_folder, is_hub_name
from adapter_runtime.sources.old_names import hub_source, is_old_task, refuse_old_name
from adapter_runtime.sources.package import package_folder

SCHEMES: Mapping[str, Callable[[str, str, int], Path]] = MappingProxyType(
    {"hf": hub_folder, "pkg": package_folder}
)
"""What follows `scheme://`, the whole Source and a size limit in bytes, to a folder on disk."""


def resolve(source: str, base: Path | None = None, max_file_bytes: int = MAX_FILE_BYTES) -> Folder:
    """The Source's files on this machine, fetched first where needed. Blocks.

    Args:
        source: a path, `pkg://module/sub/folder`, `hf://org/name@revision/sub/folder`, or, where
            no such folder exists, AdapterHub's old `@org/name`, and, where `base` is not given
            either, a hub name such as `org/name`.
        base: the folder that a relative path starts from; None means the working directory.
        max_file_bytes: larger files are refused before they are fetched or read.

    Raises:
        SourceError: the files cannot be found, fetched or trusted; says what to do.
    """
    scheme, separator, rest = source.partition("://")
    if separator:
        if scheme not in SCHEMES:
            known = ", ".join(f"{name}://" for name in SCHEMES)
            raise SourceError(f"{source}: {scheme}:// is unknown; write a path or one of {known}.")
        return Folder(SCHEMES[scheme](rest, source, max_file_bytes), source, max_file_bytes)
    if not source or "\0" in source:
        raise SourceError(f"{source!r} is no Source; write a path, pkg://… or hf://….")
    path = (base or Path()) / Path(source).expanduser()
    if (today := hub_source(source)) and not path.exists():
        return resolve(today, base, max_file_bytes)
    if base is None and not path.exists():
        refuse_old_name(source)
    if base is None and not path.exists() and is_hub_name(source):
        said = f"{source} (no such folder here, so taken for a hub name)"
        return Folder(hub_folder(source, said, max_file_bytes), source, max_file_bytes)
    return Folder(path, source, max_file_bytes)


def absolute(source: str, base: Path) -> str:
    """The Source with a relative path made absolute; URLs stay, old names become URLs if they can.

    Args:
        source: a Source as a task file states it.
        base: the folder that the task file lies in.
    """
    if "://" in source:
        return source
    path = (base / Path(source).expanduser()).absolute()
    if path.exists():
        return str(path)
    if is_old_task(source) and not Path(source).exists():
        return source  # `resolve` says what to write today.
    return hub_source(source) or str(path)
