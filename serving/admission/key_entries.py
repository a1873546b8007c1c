"""Entries of the keys file, written by the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import yaml

from adapter_runtime import SettingsError
from serving.admission.keys import parse_key, read_keys

_PRIVATE = 0o600


def checked_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entry, known to be right.

    Raises:
        SettingsError: it is not; says where.
    """
    parse_key(entry, "the key")
    return dict(entry)


def entry_text(entry: Mapping[str, Any]) -> str:
    """One list member in YAML, indented as below `keys:`."""
    lines = yaml.safe_dump([dict(entry)], sort_keys=False, default_flow_style=None).splitlines()
    return "".join(f"  {line}\n" for line in lines)


def add_entry(path: Path, entry: Mapping[str, Any]) -> None:
    """Write the file with one entry more, whole or not at all; what stands there stays.

    Raises:
        SettingsError: the file is broken, has the name already, or cannot be written.
    """
    before = "keys:\n"
    if path.exists():
        if entry["name"] in read_keys(path).by_name:
            raise SettingsError(f"{path} has a key {entry['name']} already; choose another name.")
        before = path.read_text(encoding="utf-8").rstrip("\n") + "\n"
    try:
        _replace(path, before + entry_text(entry))
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}.") from error


def _replace(path: Path, text: str) -> None:
    """A reader sees the old file or the new one; the new one is read back before it counts."""
    mode = path.stat().st_mode & 0o777 if path.exists() else _PRIVATE
    with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        draft = Path(file.name)
        file.write(text)
    try:
        read_keys(draft)
        draft.chmod(mode)
        draft.replace(path.resolve())  # where the file is a link, it stays one
    except SettingsError as error:
        raise SettingsError(
            f"{path}: add the entry by hand: `keys:` is not a plain list at its end."
        ) from error
    finally:
        draft.unlink(missing_ok=True)
