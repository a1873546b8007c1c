"""Changes of who gets a task's traffic, as pure functions on its entry; see `changes`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from adapter_runtime import InvalidInput
from serving.catalog.changes import as_weights
from serving.catalog.drafts import Draft, Item, Known
from serving.catalog.shapes import MAX_WEIGHT
from serving.catalog.store import Entry
from serving.errors import VersionConflict

_ALL = 100
_BY_HAND = "It was rolled back by hand."


def promote(entry: Entry | None, id: str, known: Known, answering: str | None = None) -> Entry:
    """Give a version all the traffic, and remember who had it before.

    Args:
        entry, known: as it is.
        id: of the version.
        answering: id of the version that has the traffic where there are no weights.

    Raises:
        UnknownVersion, VersionRetired: there is none of that id.
    """
    draft = Draft(entry, known)
    item = draft.find(id)
    _identify(item, id)
    before = draft.weights(answering)
    had_all = _has_all(before, id)
    item.set(shadow=None, rolled_back=None)
    draft.set_weights({id: _ALL})
    if not had_all:
        draft.previous = as_weights(before)
    return draft.entry()


def rollback(
    entry: Entry | None,
    id: str,
    known: Known,
    reason: str | None = None,
    usable: Collection[str] | None = None,
    answering: str | None = None,
) -> Entry:
    """Take a version back: the weights before hold again, and a shadow is switched off.

    Args:
        entry, known: as it is.
        id: of the version.
        reason: why it must not answer any more; None: somebody asked for the weights before.
        usable: ids of the versions that could answer; None: all.
        answering: id of the version that has the traffic where there are no weights.

    Raises:
        UnknownVersion, VersionRetired: there is none of that id.
        VersionConflict: it has no traffic, or there is nobody to take it.
    """
    draft = Draft(entry, known)
    item = draft.find(id)
    _identify(item, id)
    if not item.is_shadow:
        before = draft.weights(answering)
        is_newest = not draft.has_weights and item is draft.answering(None)
        if not before.get(id) and not is_newest:
            return _unchanged(draft, item)
        draft.set_weights(_weights_without(draft, item, before, reason, usable))
        draft.previous = {}
    elif draft.has_weights:
        item.set(weight=0)
    item.set(shadow=None)
    if not item.weight:
        item.set(rolled_back=reason or _BY_HAND)
    return draft.entry()


def set_traffic(
    entry: Entry | None,
    weights: Mapping[str, float] | None,
    shadow: Sequence[str],
    known: Known,
    answering: str | None = None,
) -> Entry:
    """Share a task's traffic out, and remember how it was before.

    Args:
        entry, known: as it is.
        weights: by id, 0 for who is not named; None leaves all to the newest ready version.
        shadow: ids of the versions that get copies; nobody else does.
        answering: id of the version that has the traffic where there are no weights.

    Raises:
        UnknownVersion, VersionRetired: there is none of such an id.
        InvalidInput: a weight is negative or not finite, all are 0, or a shadow has one.
    """
    draft = Draft(entry, known)
    for id in (*(weights or {}), *shadow):
        _identify(draft.find(id), id)
    _check(weights, shadow)
    before = draft.weights(answering)
    had_weights = draft.has_weights
    for item in draft.items:
        item.set(shadow=True if item.id in shadow else None)
    if weights is not None:
        draft.set_weights(as_weights(weights))
    for item in draft.items if weights is None else ():
        # The newest one takes all, also one that lost its weight to a rollback.
        item.set(weight=None, **({"rolled_back": None} if had_weights else {}))
    if all(item.is_shadow for item in draft.items):
        raise InvalidInput("at least one version must answer.", "shadow")
    if (draft.has_weights or had_weights) and draft.weights(answering) != before:
        draft.previous = as_weights(before)
    return draft.entry()


def _check(weights: Mapping[str, float] | None, shadow: Sequence[str]) -> None:
    stated: Mapping[str, Any] = weights or {}
    for id, weight in stated.items():
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not is_number or not 0 <= weight <= MAX_WEIGHT:
            raise InvalidInput(f"expected a number from 0 to {MAX_WEIGHT:g}.", f"weights.{id}")
        if weight and id in shadow:
            raise InvalidInput("a shadow answers nobody; leave its weight out.", f"weights.{id}")
    if weights is not None and not any(weights.values()):
        raise InvalidInput(
            "one must be more than 0; null leaves all to the newest version.", "weights"
        )


def _identify(item: Item, id: str) -> None:
    """Whoever is spoken of by an id keeps it."""
    if item.id is None:
        item.said = {"id": id, **item.said}


def _has_all(weights: Mapping[str, float], id: str) -> bool:
    return bool(weights.get(id)) and not any(
        weight for other, weight in weights.items() if other != id
    )


def _share(weights: Mapping[str, float], id: str) -> float:
    return weights.get(id, 0) / (sum(weights.values()) or 1)


def _unchanged(draft: Draft, item: Item) -> Entry:
    if item.said.get("rolled_back"):
        return draft.entry()
    raise VersionConflict(
        f"Version {item.id!r} of {draft.name} has no traffic; roll back the one that has."
    )


def _weights_without(
    draft: Draft,
    item: Item,
    before: Mapping[str, float],
    reason: str | None,
    usable: Collection[str] | None,
) -> dict[str, float]:
    id = item.id or ""
    answerers = {each.id for each in draft.items if each.id and not each.is_shadow}
    known = {each: weight for each, weight in draft.previous.items() if each in answerers}
    if reason is not None:
        known.pop(id, None)
    if any(known.values()) and _share(known, id) < _share(before, id):
        return as_weights(known)
    others = {each: weight for each, weight in before.items() if weight and each != id}
    if len(others) > 1:
        return as_weights(others)
    return {next(iter(others), None) or _older(draft, item, usable): _ALL}


def _older(draft: Draft, item: Item, usable: Collection[str] | None) -> str:
    """Who takes over where nobody else has a weight."""
    for older in reversed(draft.items[: draft.items.index(item)]):
        is_out = older.is_shadow or older.said.get("rolled_back")
        if older.id and not is_out and (usable is None or older.id in usable):
            return older.id
    raise VersionConflict(f"{draft.name} has no older version that could answer instead.")
