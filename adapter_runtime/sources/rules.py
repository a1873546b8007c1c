"""The operator's rules for Sources: which are allowed, how large, and where copies are kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from adapter_runtime.errors import SettingsError, SourceError, SourceRefused
from adapter_runtime.sources.folder import MAX_FILE_BYTES
from adapter_runtime.sources.places import Place, find_place, plain_scheme

MAX_SOURCE_BYTES = 4 << 30
_ANY = "*"


@dataclass(frozen=True, slots=True)
class SourceRules:
    """What may be opened.

    Args:
        allowed: `hf://org`, `hf://org/name`, `pkg://module`, `s3://bucket/prefix`, a folder, or
            `hf://*` for all of one scheme; each allows what lies in it. Empty allows everything.
        max_file_bytes: larger files are refused before they are fetched or read.
        max_source_bytes: larger Sources, all files together, are not fetched.
        cache_dir: where copies of URLs' files are kept; None is `polyhead/sources` in
            `XDG_CACHE_HOME` or `~/.cache`. The hub's client has its own cache (`HF_HOME`).

    Raises:
        SettingsError: an entry allows nothing that exists, or a limit is below 1.
    """

    allowed: tuple[str, ...] = ()
    max_file_bytes: int = MAX_FILE_BYTES
    max_source_bytes: int = MAX_SOURCE_BYTES
    cache_dir: str | None = None

    def __post_init__(self) -> None:
        for name in ("max_file_bytes", "max_source_bytes"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} must be at least 1.")
        for entry in self.allowed:
            _entry(entry)

    def check(self, place: Place) -> None:
        """Hold a Source against the allowed ones.

        Raises:
            SourceRefused: it is in none of them.
        """
        if self.allowed and not any(_holds(_entry(entry), place) for entry in self.allowed):
            raise SourceRefused(
                f"{place.said}: not among the allowed Sources ({', '.join(self.allowed)}); "
                "add it to allowed_sources, or use one of these."
            )

    def cache(self) -> Path:
        """The folder for copies of URLs' files.

        Raises:
            SourceError: it is in a home folder that nobody knows.
        """
        home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
        try:
            return Path(self.cache_dir or home / "polyhead" / "sources").expanduser()
        except RuntimeError as error:
            raise SourceError("No home folder is known for copies; set cache_dir.") from error


def _entry(text: str) -> tuple[str, tuple[str, ...]]:
    """The scheme and the parts of an entry.

    Raises:
        SettingsError: nothing can be meant by it.
    """
    scheme, separator, rest = text.partition("://")
    rest = rest.rstrip("/")
    if separator and rest == _ANY:
        return plain_scheme(scheme), ()
    if scheme == "hf" and rest and not set("/@") & set(rest):
        return scheme, (rest,)
    try:
        place = find_place(text if separator else str(Path(text).expanduser().absolute()))
    except (SourceError, RuntimeError, ValueError) as error:
        raise SettingsError(f"allowed_sources: {error}") from error
    if not text or (place.hub and place.hub.revision):
        raise SettingsError(
            f"allowed_sources: {text!r} must be a folder or a Source without a revision."
        )
    return place.scheme, place.parts


def _holds(entry: tuple[str, tuple[str, ...]], place: Place) -> bool:
    scheme, parts = entry
    return scheme == place.scheme and place.parts[: len(parts)] == parts


def check_sizes(sizes: Mapping[str, int], said: str, rules: SourceRules) -> None:
    """Hold files' sizes in bytes against the limits.

    Raises:
        SourceError: one file is too large, or all together are.
    """
    for name, size in sizes.items():
        if size > rules.max_file_bytes:
            raise SourceError(
                f"{said}: {name} has {size} bytes, the limit is {rules.max_file_bytes}; "
                "raise max_file_bytes to accept it."
            )
    total = sum(sizes.values())
    if total > rules.max_source_bytes:
        raise SourceError(
            f"{said}: its files have {total} bytes, the limit is {rules.max_source_bytes}; "
            "raise max_source_bytes to accept it."
        )
