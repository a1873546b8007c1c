"""Changes of a task's entry, as pure functions from the entry as it is to what it shall be.

Every function takes the entry (None: there is none) and what the live server knows, and raises
UnknownTask where there is no entry, and BrokenEntry where it is broken.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from adapter_runtime import InvalidInput
from serving.catalog.drafts import ID_DIGITS, Draft, Item, Known
from serving.catalog.puts import Put, checked_entry
from serving.catalog.shapes import MAX_RETIRED
from serving.catalog.store import Entry
from serving.errors import BrokenEntry, VersionConflict

__all__ = ["Known", "add_version", "replace_task", "retire", "set_pinned"]

_STATED = ("id", "digest", "weight", "shadow")


def add_version(
    entry: Entry | None,
    put: Put,
    known: Known,
    *,
    digest: str | None = None,
    keep: int = 3,
    droppable: Collection[str] = (),
    rejected: Collection[str] = (),
    answering: str | None = None,
) -> Entry:
    """Give a task a new version, or make the task.

    A version with the id or the meaning of an older one is that one. Without an id it becomes the
    newest. Where versions have weights, a new one starts at 0; a weight for the first one that
    gets any is a share of 100, and the version that answers keeps the rest.

    Args:
        entry: as it is.
        put: the new version.
        known: what the server knows.
        digest: of the new version, where its files were read already.
        keep: how many superseded versions stay.
        droppable: ids of versions that nobody uses.
        rejected: ids of versions that were refused; they are dropped first.
        answering: id of the version that has the traffic where there are no weights.

    Raises:
        VersionConflict: the id stands for something else, or did once.
        InvalidInput: all weights would be 0, or there are too many versions.
    """
    digest = digest or put.plan.versions[0].digest
    if entry is None:
        return _first(put, known, digest)
    draft = Draft(entry, known)
    if "rollback" in put.body:
        draft.task["rollback"] = put.body["rollback"]
    item = _same(draft, put, digest)
    if item is None:
        item = _new(draft, put, digest, answering)
    else:
        _renew(draft, item, put, digest)
    superseded = [
        each
        for each in draft.items
        if each is not item and each.id in droppable and not each.weight and not each.is_shadow
    ]
    superseded.sort(key=lambda each: each.id not in rejected)
    draft.drop(superseded[: max(0, len(superseded) - keep)])
    return draft.entry()


def replace_task(entry: Entry | None, put: Put, known: Known) -> Entry:
    """Make a task what a body with `versions:` says; versions that it keeps stay what they are.

    Raises:
        VersionConflict: an id stands for something else, or did once.
    """
    made = dict(put.body)
    old = _readable(entry, known)
    if old is None:
        return checked_entry(made, known.base)
    versions = [dict(said) for said in made["versions"]]
    for said, plan in zip(versions, put.plan.versions, strict=True):
        found = _carried(old, plan.id, plan.key, plan.digest)
        if found is not None:
            _carry(found, said)
    made["versions"] = versions
    kept = {str(said["id"]) for said in versions if "id" in said}
    old.drop([item for item in old.items if item.id not in kept])
    retired = [id for id in (*old.retired, *put.plan.retired) if id not in kept]
    if retired:
        made["retired"] = list(dict.fromkeys(retired))[-MAX_RETIRED:]
    return checked_entry(made, known.base)


def set_pinned(entry: Entry | None, id: str, on: bool, known: Known) -> Entry:
    """Keep a version on the device, or no longer.

    Raises:
        UnknownVersion, VersionRetired: there is none of that id.
    """
    draft = Draft(entry, known)
    item = draft.find(id)
    if item.plan.spec.pinned != on:
        item.said["pinned"] = on
    return draft.entry()


def retire(entry: Entry | None, id: str, known: Known) -> Entry:
    """Take a version out of a task for good.

    Raises:
        UnknownVersion, VersionRetired: there is none of that id.
        VersionConflict: nobody would answer without it.
    """
    draft = Draft(entry, known)
    gone = draft.find(id)
    rest = [item for item in draft.items if item is not gone]
    if all(item.is_shadow for item in rest):
        raise VersionConflict(
            f"Version {id!r} is the only one of {draft.name} that answers; delete the task, or "
            "add another version first."
        )
    if gone.weight and not any(item.weight for item in rest):
        raise VersionConflict(
            f"Version {id!r} has all the traffic of {draft.name}; promote another one first."
        )
    draft.drop([gone])
    if gone.id is None:
        draft.retired.append(id)
    return draft.entry()


def _first(put: Put, known: Known, digest: str | None) -> Entry:
    stated = {key: put.body[key] for key in _STATED if put.body.get(key) is not None}
    if not stated:
        return checked_entry(put.body, known.base)
    if stated.get("weight") == 0:
        raise InvalidInput("the only version needs a weight of more than 0, or none.", "weight")
    own = {"name", "rollback", *_STATED}
    meaning = {key: value for key, value in put.body.items() if key not in own}
    version = {**stated, **({"digest": digest} if digest else {}), **meaning}
    made: dict[str, Any] = {"name": put.name, "versions": [version]}
    if "rollback" in put.body:
        made["rollback"] = put.body["rollback"]
    return checked_entry(made, known.base)


def _same(draft: Draft, put: Put, digest: str | None) -> Item | None:
    """The version that the body speaks of, if the task has it."""
    plan = put.plan.versions[0]
    if plan.id is not None:
        return _carried(draft, plan.id, plan.key, digest)
    by_content = [item for item in draft.items if digest and item.said.get("digest") == digest]
    by_meaning = [
        item for item in draft.items if item.plan.key == plan.key and _agrees(item, digest)
    ]
    return next(iter((*reversed(by_content), *reversed(by_meaning))), None)


def _carried(draft: Draft, id: str | None, key: str, digest: str | None) -> Item | None:
    """The version of an id, or of a key; it must mean the same."""
    for item in reversed(draft.items):
        if id is None and item.plan.key == key and _agrees(item, digest):
            return item
        if id is not None and item.id == id:
            if (item.plan.key == key and _agrees(item, digest)) or _equals(item, digest):
                return item
            raise VersionConflict(
                f"Version {id!r} of {draft.name} stands for other content; give the new one "
                "another id, or none."
            )
    if id is not None and id in draft.retired:
        raise VersionConflict(
            f"Version {id!r} of {draft.name} is retired; give the new one another id, or none."
        )
    return None


def _agrees(item: Item, digest: str | None) -> bool:
    return digest is None or item.said.get("digest") in (None, digest)


def _equals(item: Item, digest: str | None) -> bool:
    return digest is not None and item.said.get("digest") == digest


def _new(draft: Draft, put: Put, digest: str | None, answering: str | None) -> Item:
    plan = put.plan.versions[0]
    id = plan.id or (digest[:ID_DIGITS] if digest else None)
    if id in draft.retired:
        draft.retired.remove(id)  # the same content is back
    weight = plan.weight
    if weight is None and draft.has_weights and not plan.shadow:
        weight = 0
    if weight is not None and not plan.shadow and not draft.has_weights:
        _share(draft, weight, answering)
    said = {"id": id, "digest": digest, "weight": _number(weight), "shadow": plan.shadow or None}
    stated = {key: value for key, value in said.items() if value is not None}
    return draft.add(stated, put.body, plan)


def _share(draft: Draft, weight: float, answering: str | None) -> None:
    """The version that answers keeps what is left of 100."""
    answers = draft.answering(answering)
    if answers is not None:
        answers.set(weight=_number(max(0, 100 - weight)))


def _renew(draft: Draft, item: Item, put: Put, digest: str | None) -> None:
    plan = put.plan.versions[0]
    draft.restate(item, put.body)
    if digest:
        item.said.setdefault("digest", digest)
    if "weight" in put.body:
        item.set(weight=_number(plan.weight))
    if "shadow" in put.body:
        item.set(shadow=plan.shadow or None)
    if plan.id is None and draft.items[-1] is not item:
        draft.items.remove(item)
        draft.items.append(item)
        item.set(rolled_back=None)


def _readable(entry: Entry | None, known: Known) -> Draft | None:
    """The task as it was; None where it is not to be read, and so has nothing to keep."""
    try:
        return Draft(entry, known) if entry is not None else None
    except BrokenEntry:
        return None


def _carry(found: Item, said: dict[str, Any]) -> None:
    """What was found out about a version stays with it."""
    for key in ("id", "digest", "rolled_back"):
        if found.said.get(key) and not (key == "rolled_back" and said.get("weight")):
            said.setdefault(key, found.said[key])


def _number(weight: float | None) -> float | None:
    """Whole numbers are written as people write them."""
    return int(weight) if weight is not None and float(weight).is_integer() else weight


def as_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights as they are written."""
    return {id: _number(weight) or 0 for id, weight in weights.items()}
