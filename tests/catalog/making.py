"""Entries and what a server knows of them, for tests of changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serving.catalog.changes import Known, add_version
from serving.catalog.entries import read_entry
from serving.catalog.plans import TaskPlan
from serving.catalog.puts import Put, read_put
from serving.catalog.store import Entry

BASE = "/catalog"
KNOWN = Known("t", BASE)


def put(**body: Any) -> Put:
    """A request body for task t."""
    return read_put("t", body, BASE)


def added(entry: Entry | None, body: Mapping[str, Any], known: Known = KNOWN, **more: Any) -> Entry:
    """The entry with one more version."""
    return add_version(entry, put(**body), known, **more)


def of(*versions: Mapping[str, Any], **task: Any) -> Entry:
    """Task t with versions."""
    return {"name": "t", **task, "versions": [dict(each) for each in versions]}


def plan(entry: Entry | None) -> TaskPlan:
    """What the entry means."""
    return read_entry(entry, BASE)


def known(*entries: tuple[Mapping[str, Any], str]) -> Known:
    """A server that has read versions: what they say, and their digests' first digit."""
    ids = {}
    for said, digit in entries:
        key = plan({"name": "t", **said}).versions[0].key
        ids[key] = (digit * 12, digit * 64)
    return Known("t", BASE, ids)


def weights(entry: Entry) -> dict[str, float | None]:
    """Weights by id."""
    return {each["id"]: each.get("weight") for each in entry["versions"]}


def ids(entry: Entry) -> list[str]:
    """Ids in their order."""
    return [each["id"] for each in entry["versions"]]
