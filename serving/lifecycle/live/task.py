"""A live task: which of its versions answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from adapter_runtime import Note, RejectedAdapter
from serving.catalog.plans import TaskPlan
from serving.errors import (
    Quarantined,
    RejectedForNow,
    StillLoading,
    UnknownVersion,
    VersionRetired,
)
from serving.lifecycle.live.states import HOPEFUL, State
from serving.lifecycle.live.traffic import Shares
from serving.lifecycle.live.version import Version
from serving.views import Event

_MOST_EVENTS = 50
_MOST_RETIRED = 256
_TRY_AGAIN_S = 1.0


class Task:
    """A named service; everything here happens under the lock of its `Tasks`.

    Attributes:
        plan: what the catalog said last that could be used; None where it never could.
        versions: those of the plan, oldest first.
        leaving: out of the catalog; they answer for as long as no version of the plan can.
        broken: why the entry as it is now cannot be used; None where it can.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.plan: TaskPlan | None = None
        self.versions: tuple[Version, ...] = ()
        self.leaving: tuple[Version, ...] = ()
        self.broken: Note | None = None
        self.broken_etag = ""
        self.retired: deque[str] = deque(maxlen=_MOST_RETIRED)
        self.events: deque[Event] = deque(maxlen=_MOST_EVENTS)
        self._shares = Shares()
        self._turns = Shares()

    @property
    def etag(self) -> str:
        """Of the entry as it is now."""
        return self.broken_etag if self.broken or self.plan is None else self.plan.etag

    @property
    def has_weights(self) -> bool:
        """Whether the plan says how the traffic is shared."""
        return self.plan is not None and self.plan.has_weights

    def serving(self) -> dict[Version, float]:
        """The versions that share the traffic now, each with its share; they add up to 1."""
        weighted = self._weighted() if self.has_weights else {}
        if weighted:
            total = sum(weighted.values())
            return {version: weight / total for version, weight in weighted.items()}
        newest = next((one for one in self._candidates() if one.is_ready), None)
        return {} if newest is None else {newest: 1.0}

    def _weighted(self) -> dict[Version, float]:
        return {
            version: weight
            for version in self.versions
            if version.is_ready and (weight := version.weight(True)) > 0
        }

    def shadows(self) -> list[Version]:
        """The versions that get copies of the traffic now."""
        return [each for each in self.versions if each.plan.shadow and each.is_ready]

    def choose(self, now_s: float) -> Version:
        """The version that answers the next request, or that has to be admitted for it first.

        Raises:
            Quarantined, RejectedAdapter: there is none.
        """
        serving = self.serving()
        if serving and self.plan is not None and self.plan.rollback is not None:
            self._count_absence(serving)
        if len(serving) == 1:
            return next(iter(serving))
        if serving:
            known = {str(version.id): version for version in serving}
            weights = {id: serving[version] for id, version in known.items()}
            return known[self._shares.pick(weights)]
        hopeful = next((one for one in self._candidates() if one.may_become_ready(now_s)), None)
        if hopeful is None:
            raise self._refusal(now_s)
        return hopeful

    def in_traffic(self) -> list[Version]:
        """Who shares the traffic, oldest first; also who is in quarantine while others stand in."""
        serving = self.serving()
        sharing = {*serving, *self._absent(serving)}
        return [one for one in self.versions if one in sharing]

    def _absent(self, serving: Mapping[Version, float]) -> list[Version]:
        """The quarantined versions in whose place others answer, oldest first."""
        found = [
            one
            for one in self.versions
            if one.state is State.QUARANTINED
            and not one.plan.shadow
            and one.plan.rolled_back is None
        ]
        if self.has_weights:
            return [one for one in found if one.weight(True) > 0]
        places = {one: place for place, one in enumerate(self.versions)}
        newest = max((places.get(one, -1) for one in serving), default=-1)
        return [one for one in found if places[one] > newest]

    def _count_absence(self, serving: Mapping[Version, float]) -> None:
        """A request that others answer in a version's place is one that the version failed."""
        absent = self._absent(serving)
        if not absent:
            return
        due = {str(one.id): one for one in absent}
        if self.has_weights:
            due |= {str(one.id): one for one in serving if one.weight(True) > 0}
        weights = {id: one.weight(True) if self.has_weights else 1.0 for id, one in due.items()}
        turn = due[self._turns.pick(weights)]
        if turn in absent:
            turn.traffic.missed()

    def _candidates(self) -> Iterator[Version]:
        """Whoever could answer, best first: what has a weight, then what is newest."""
        newest_first = [one for one in reversed(self.versions) if not one.plan.shadow]
        if self.has_weights:
            weighted = [one for one in newest_first if one.weight(True) > 0]
            yield from sorted(weighted, key=lambda one: one.weight(True), reverse=True)
        yield from (one for one in newest_first if one.plan.rolled_back is None)
        # An edit that turns out to be broken must not take the task down.
        yield from reversed(self.leaving)
        yield from (one for one in newest_first if one.plan.rolled_back is not None)

    def _refusal(self, now_s: float) -> Exception:
        candidates = list(self._candidates())
        for version in candidates:
            if version.state is State.QUARANTINED and version.retry_at_s is not None:
                return quarantined(version, now_s)
        if candidates:
            return rejected(candidates[0], now_s)
        return RejectedAdapter(self.name, [self.broken or _NO_VERSION])

    def find(self, id: str) -> Version:
        """The version of an id.

        Raises:
            VersionRetired: it was there once.
            UnknownVersion: there is none; versions that are not read yet may still turn out to be.
        """
        for version in self.versions:
            if version.id == id:
                return version
        if id in self.retired or (self.plan is not None and id in self.plan.retired):
            raise VersionRetired(f"Version {id!r} of {self.name} is retired; ask for another one.")
        known = ", ".join(filter(None, (version.id for version in self.versions))) or "none"
        raise UnknownVersion(f"{self.name} has no version {id!r}; it has {known}.")

    @property
    def state(self) -> State:
        """That of the version that answers, or would be tried next."""
        best = self.best
        return State.REJECTED if best is None else best.state

    @property
    def best(self) -> Version | None:
        """The version that answers most, or would be tried next; None where there is none."""
        serving = self.serving()
        if serving:
            return max(serving, key=serving.__getitem__)
        candidates = list(self._candidates())
        hopeful = (one for one in candidates if one.state in HOPEFUL)
        return next(hopeful, next(iter(candidates), None))

    def next_up(self, now_s: float) -> list[Version]:
        """Versions to admit beside the traffic: what shall share it, copy it, or take it over.

        None while nobody has asked for the task yet: its first version is read at first use.
        """
        serving = self.serving()
        if not serving:
            return []
        found = [
            one for one in self.versions if one.plan.shadow or one.weight(self.has_weights) > 0
        ]
        for one in self._candidates():
            if one in serving:
                break
            if one.may_become_ready(now_s):
                found.append(one)
                break
        return [one for one in found if not one.is_ready and one.may_become_ready(now_s)]

    @property
    def unnamed(self) -> list[Version]:
        """Versions whose id is not known before their files are read."""
        return [version for version in self.versions if version.id is None]


_NO_VERSION = Note("no_version", "It has no version that could answer; add one.")


def rejected(version: Version, now_s: float) -> RejectedAdapter:
    """The error of a version that was refused."""
    if version.retry_at_s is None:
        return RejectedAdapter(version.task, version.reasons)
    wait_s = max(1.0, version.retry_at_s - now_s)
    return RejectedForNow(version.task, version.reasons, wait_s)


def quarantined(version: Version, now_s: float) -> Quarantined:
    """The error of a version that failed by itself."""
    wait_s = max(1.0, (version.retry_at_s or now_s) - now_s)
    why = version.reasons[0].message if version.reasons else "it failed."
    return Quarantined(f"{version.task} is quarantined and tried again soon: {why}", wait_s)


def refusal(version: Version, now_s: float) -> Exception:
    """The error of a version that is asked for by its id and cannot answer."""
    if version.is_leaving or version.state is State.RETIRED:
        return VersionRetired(f"Version {version.id!r} of {version.task} left meanwhile.")
    if version.state is State.QUARANTINED:
        return quarantined(version, now_s)
    if version.state is not State.REJECTED:
        return StillLoading(f"{version.task} is not loaded yet; try again soon.", _TRY_AGAIN_S)
    return rejected(version, now_s)
