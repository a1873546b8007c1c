"""From a Source as users write it to a folder of files on this machine."""

from __future__ import annotations

from pathlib import Path

from adapter_runtime.sources.folder import Folder
from adapter_runtime.sources.package import package_folder
from adapter_runtime.sources.places import Place, absolute, find_place
from adapter_runtime.sources.rules import SourceRules

__all__ = ["absolute", "at_hand", "pin_revision", "resolve"]

_NO_RULES = SourceRules()


def resolve(source: str, base: Path | str | None = None, rules: SourceRules = _NO_RULES) -> Folder:
    """The Source's files on this machine, fetched first where needed. Blocks.

    Args:
        source: a path, `pkg://module/sub/folder`, `hf://org/name@revision/sub/folder`, the URL of
            any store that fsspec knows, or, where no such folder exists, AdapterHub's old
            `@org/name`, and, where `base` is not given either, a hub name such as `org/name`.
        base: the folder or URL that a relative path starts from; None means the working directory.
        rules: what may be opened.

    Raises:
        SourceRefused: the rules do not allow it.
        SourceError: the files cannot be found, fetched or trusted; says what to do.
    """
    place = find_place(source, base)
    rules.check(place)
    if place.hub:
        # Imported where needed: a local Source shall not pay for an HTTP client.
        from adapter_runtime.sources.hub import hub_folder

        found = hub_folder(place.hub, place.said, rules)
        return Folder(found.root, source, rules.max_file_bytes, found.identity)
    if place.url:
        from adapter_runtime.sources.stores import store_folder

        return Folder(store_folder(place.url, source, rules), source, rules.max_file_bytes)
    return _here(place, source, rules)


def at_hand(source: str, rules: SourceRules = _NO_RULES) -> Folder | None:
    """As `resolve`, asking no network: None where the files would have to be fetched.

    Args:
        source, rules: as for `resolve`.

    Raises:
        SourceRefused: the rules do not allow it.
        SourceError: there is no such folder or package on this machine, and no network has it.
    """
    place = find_place(source)
    rules.check(place)
    if place.hub:
        from adapter_runtime.sources.hub_cache import cached_hub_folder

        kept = cached_hub_folder(place.hub)
        return Folder(kept.root, source, rules.max_file_bytes, kept.identity) if kept else None
    if place.url:
        from adapter_runtime.sources.stores import cached_store_folder

        root = cached_store_folder(place.url, rules)
        return Folder(root, source, rules.max_file_bytes) if root else None
    return _here(place, source, rules)


def pin_revision(source: str, rules: SourceRules = _NO_RULES) -> str:
    """The Source with a hub's revision replaced by the commit that it names now. Blocks.

    Args:
        source: a Source; one that is no `hf://` or has a commit already comes back as it is.
        rules: what may be asked for.

    Raises:
        SourceRefused: the rules do not allow it.
        SourceError: the hub does not have it, or is away and its cache here has no answer.
    """
    if not source.startswith("hf://"):
        return source
    place = find_place(source)
    rules.check(place)
    if place.hub is None or place.hub.commit:
        return source
    from adapter_runtime.sources.hub import pinned

    return f"hf://{pinned(place.hub, source).identity}"


def _here(place: Place, source: str, rules: SourceRules) -> Folder:
    if place.scheme == "pkg":
        root = package_folder(place.parts[0], Path(*place.parts[1:]), source)
    else:
        root = place.path or Path()
    return Folder(root, source, rules.max_file_bytes)
