"""An entry taken apart to be changed: what the task says, and what each version says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from adapter_runtime import InvalidInput, UnknownTask
from serving.catalog.entries import Base, read_entry
from serving.catalog.meanings import DEFAULTS, OWN, is_same
from serving.catalog.plans import VersionPlan
from serving.catalog.puts import checked_entry
from serving.catalog.shapes import MAX_RETIRED, MAX_VERSIONS, SHARED
from serving.catalog.store import Entry
from serving.errors import BrokenEntry, TaskFileError, UnknownVersion, VersionRetired

ID_DIGITS = 12
_FOUND = ("id", "digest")


@dataclass(frozen=True, slots=True)
class Known:
    """What a live server knows of a task beside its entry.

    Args:
        name: of the task.
        base: where relative Sources start.
        ids: id and digest by the key of a version's plan, for those whose files were read.
    """

    name: str
    base: Base
    ids: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)


@dataclass(slots=True)
class Item:
    """A version: its part of the entry, and what that part means with the task's."""

    said: dict[str, Any]
    plan: VersionPlan

    @property
    def id(self) -> str | None:
        """As said, else None."""
        return self.said.get("id")

    @property
    def weight(self) -> float | None:
        """As said, else None."""
        return self.said.get("weight")

    @property
    def is_shadow(self) -> bool:
        """As said, else False."""
        return bool(self.said.get("shadow"))

    def set(self, **values: Any) -> None:
        """Say something; None takes it back."""
        for key, value in values.items():
            if value is None:
                self.said.pop(key, None)
            else:
                self.said[key] = value


class Draft:
    """A task while it is changed.

    Args:
        entry: as it is.
        known: what else is known; versions without an id get theirs.

    Raises:
        UnknownTask: there is no entry.
        BrokenEntry: nothing can be said of its versions.
    """

    def __init__(self, entry: Entry | None, known: Known) -> None:
        if entry is None:
            raise UnknownTask(known.name, ())
        try:
            plan = read_entry(entry, known.base)
        except TaskFileError as error:
            raise BrokenEntry(
                f"The entry of {known.name} is broken: {error} Mend it, delete the task, or put "
                "all of it with `versions`."
            ) from error
        self.name = plan.name
        self.task: dict[str, Any] = deepcopy(dict(entry))
        self.is_plain = self.task.get("versions") is None
        if self.is_plain:
            said = [{key: self.task.pop(key) for key in OWN if key in self.task}]
        else:
            said = [dict(each) for each in self.task["versions"]]
        self.items = [Item(each, its) for each, its in zip(said, plan.versions, strict=True)]
        self.retired = list(plan.retired)
        self.previous = dict(plan.previous_weights or {})
        self._base = known.base
        self._name_all(known.ids)

    def _name_all(self, ids: Mapping[str, tuple[str, str | None]]) -> None:
        for item in self.items:
            id, digest = ids.get(item.plan.key, (item.plan.id, None))
            if item.plan.id is not None and item.plan.id != id:
                id, digest = item.plan.id, None
            # Given first, for people read it first.
            found = {"id": id, "digest": item.plan.digest or digest}
            item.said = {key: value for key, value in found.items() if value} | {
                key: value for key, value in item.said.items() if key not in _FOUND
            }
        # Several that say and hold the same are one version.
        stated = [item.plan.id for item in self.items]
        named = [item.id for item in self.items]
        self.items = [
            item
            for at, item in enumerate(self.items)
            if stated[at] or item.id is None or item.id not in (*stated, *named[at + 1 :])
        ]

    @property
    def has_weights(self) -> bool:
        """Whether any version has a weight; without, the newest ready one takes all."""
        return any(item.weight is not None for item in self.items)

    def find(self, id: str) -> Item:
        """The version of an id.

        Raises:
            VersionRetired: it was there once.
            UnknownVersion: there is none.
        """
        for item in self.items:
            if id == (item.id or item.plan.key[:ID_DIGITS]):
                return item
        if id in self.retired:
            raise VersionRetired(f"Version {id!r} of {self.name} is retired; take another one.")
        ids = ", ".join(item.id for item in self.items if item.id) or "none that is known yet"
        raise UnknownVersion(f"{self.name} has no version {id!r}; it has {ids}.")

    def answering(self, id: str | None) -> Item | None:
        """The version that has the traffic where there are no weights.

        Args:
            id: what the live server says; None: the newest that may have it.
        """
        able = [item for item in self.items if not item.is_shadow and not item.plan.rolled_back]
        by_id = {item.id: item for item in able if item.id}
        return by_id.get(id or "") or (able[-1] if able else None)

    def weights(self, answering: str | None = None) -> dict[str, float]:
        """By id, also what holds where none are written: all for the version that answers."""
        if self.has_weights:
            return {
                item.id: item.weight or 0 for item in self.items if item.id and not item.is_shadow
            }
        answers = self.answering(answering)
        return {
            item.id: 100 if item is answers else 0
            for item in self.items
            if item.id and not item.is_shadow
        }

    def set_weights(self, weights: Mapping[str, float]) -> None:
        """Write everyone's weight; a version that is not named gets 0."""
        for item in self.items:
            weight = weights.get(item.id or "", 0)
            item.set(weight=None if item.is_shadow and not weight else weight)
            if weight:
                item.set(shadow=None, rolled_back=None)

    def add(self, said: Mapping[str, Any], body: Mapping[str, Any], plan: VersionPlan) -> Item:
        """A new version at the end.

        Args:
            said: what the version alone can say, such as its weight.
            body: what was said of its meaning, with nothing left to the task.
            plan: of the body.
        """
        item = Item({**said, **self._meaning(body)}, plan)
        self.items.append(item)
        return item

    def restate(self, item: Item, body: Mapping[str, Any]) -> None:
        """Write a version's part anew from a body that means the same."""
        rest = {key: item.said[key] for key in item.said if key not in (*OWN, *SHARED)}
        item.said = {**rest, **self._meaning(body, item)}

    def _meaning(self, body: Mapping[str, Any], own: Item | None = None) -> dict[str, Any]:
        """What a version must say so that it means the body, whatever the task says."""
        said = {key: deepcopy(body[key]) for key in OWN if key in body}
        for key in SHARED:
            default = DEFAULTS[key]
            mine = body.get(key, default)
            if key not in self.task:
                if key in body:
                    said[key] = deepcopy(mine)
            elif not is_same(self.task[key], mine):
                self._move_down(key, own)
                if key in self.task or key in body:
                    said[key] = deepcopy(mine)
        return said

    def _move_down(self, key: str, own: Item | None) -> None:
        """What held for the only version holds for it alone from now on."""
        if self.is_plain:
            value = self.task.pop(key)
            for item in self.items:
                if item is not own:
                    item.said.setdefault(key, deepcopy(value))

    def drop(self, gone: Iterable[Item]) -> None:
        """Retire versions."""
        for item in gone:
            self.items.remove(item)
            if item.id:
                self.retired.append(item.id)
                self.previous.pop(item.id, None)

    def entry(self) -> Entry:
        """The task as an entry.

        Raises:
            InvalidInput: the versions contradict each other, or are too many.
        """
        if len(self.items) > MAX_VERSIONS:
            raise InvalidInput(f"at most {MAX_VERSIONS}; retire one first.", "versions")
        alive = {item.id for item in self.items}
        retired = [id for id in dict.fromkeys(self.retired) if id not in alive][-MAX_RETIRED:]
        has_previous = any(self.previous.values())
        if self.is_plain and len(self.items) == 1 and _is_bare(self.items[0].said):
            own = {key: value for key, value in self.items[0].said.items() if key not in _FOUND}
            made = {**self.task, **own}
        else:
            made = {**self.task, "versions": [item.said for item in self.items]}
        _say(made, "previous_weights", self.previous if has_previous else None)
        _say(made, "retired", retired or None)
        return checked_entry(made, self._base)


def _say(entry: dict[str, Any], key: str, value: Any) -> None:
    if value is None:
        entry.pop(key, None)
    else:
        entry[key] = value


def _is_bare(said: Mapping[str, Any]) -> bool:
    return set(said) <= {*OWN, *_FOUND, *SHARED}
