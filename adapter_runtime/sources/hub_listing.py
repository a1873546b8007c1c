"""What files a commit of a hub's repository has, and how large they are."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import httpx2
from huggingface_hub import HfApi, constants, errors, get_session, hf_raise_for_status
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from adapter_runtime.errors import SourceError
from adapter_runtime.sources.hub_faults import patiently
from adapter_runtime.sources.hub_names import HubPlace, is_commit_name
from adapter_runtime.sources.hub_watch import watched

_MAX_FILES = 200_000
_NOT_SPOKEN = (404, 405, 501)


class Listed(NamedTuple):
    """A file's size in bytes, 0 where nobody says, and its SHA-256 where it is kept apart."""

    size: int
    sha256: str | None


def resolved(place: HubPlace, said: str) -> HubPlace:
    """The place at the commit that its revision names now. Blocks.

    Raises:
        SourceError: what the hub names is none.
        Exception: one of `FAULTS`.
    """
    with watched(said, "its revision"):
        try:
            commit = patiently(
                partial(_commit, place, place.revision or constants.DEFAULT_REVISION)
            )
        except errors.HfHubHTTPError as error:
            if place.revision or not _is_not_spoken(error):
                raise
            commit = patiently(partial(_commit, place, None))
    if not is_commit_name(commit):
        raise SourceError(f"{said}: the hub names no commit for it; check HF_ENDPOINT.")
    return place._replace(revision=commit)


def _commit(place: HubPlace, revision: str | None) -> str:
    return HfApi().resolve_revision(place.repo, revision=revision).resolved


def listing(place: HubPlace, said: str) -> dict[str, Listed]:
    """The files of a commit, by their paths. Blocks.

    Raises:
        SourceError: the listing has no end.
        Exception: one of `FAULTS`.
    """
    try:
        return _tree(place, said)
    except errors.HfHubHTTPError as error:
        if not _is_not_spoken(error):
            raise
        # A mirror that knows no trees may still name the files where it describes the repository.
        with watched(said, "its description"):
            if siblings := patiently(partial(_siblings, place)):
                return siblings
        raise


def _is_not_spoken(error: errors.HfHubHTTPError) -> bool:
    refusals = (errors.RepositoryNotFoundError, errors.RevisionNotFoundError)
    return error.response.status_code in _NOT_SPOKEN and not isinstance(error, refusals)


def _siblings(place: HubPlace) -> dict[str, Listed]:
    about = HfApi().model_info(place.repo, revision=place.revision, files_metadata=True)
    return {
        file.rfilename: Listed(file.size or 0, file.lfs.sha256 if file.lfs else None)
        for file in about.siblings or ()
    }


def _tree(place: HubPlace, said: str) -> dict[str, Listed]:
    found: dict[str, Listed] = {}
    url = f"{constants.ENDPOINT}/api/models/{place.repo}/tree/{place.revision}"
    url += "?recursive=true&expand=false"
    while url:
        with watched(said, "its listing"):
            page, url = patiently(partial(_page, url))
        before = len(found)
        found |= page
        if len(found) > _MAX_FILES or (url and len(found) == before):
            raise SourceError(f"{said}: the hub's listing has no end; check HF_ENDPOINT.")
    return found


def _page(url: str) -> tuple[dict[str, Listed], str]:
    response: httpx2.Response = get_session().get(url, headers=build_hf_headers())
    hf_raise_for_status(response)
    found = {}
    for entry in response.json():
        if entry.get("type") == "file":
            content = entry.get("lfs") or {}
            size = int(content.get("size") or entry.get("size") or 0)
            found[str(entry["path"])] = Listed(size, content.get("oid"))
    return found, str(response.links.get("next", {}).get("url", ""))
