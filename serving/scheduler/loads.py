"""Which cold versions come in next, and how long they are held. Pure: its owner locks and loads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from adapter_runtime import TaskVersion
from serving.scheduler.entries import Key, key_of

_PATIENCE = 3
"""Refusals after which batches wait for a load: their pins may be what leaves it no room."""


@dataclass(slots=True)
class Loads:
    """The longest waiter is loaded first, several side by side while there is room.

    How much room there is only a refusal tells. After one, nothing starts before a batch has ended
    (only then can room have come), and then one load at a time until nobody waits who is cold: so
    a narrow version never takes the room that a wide one before it waits for.

    Args:
        most: loads side by side.
        loading: versions on their way in, by key.
        held: versions that are kept on the device until their rows have run.
        wanted: versions to bring in though no row waits for them.
    """

    most: int
    loading: dict[Key, TaskVersion] = field(default_factory=dict)
    held: dict[Key, TaskVersion] = field(default_factory=dict)
    wanted: dict[Key, TaskVersion] = field(default_factory=dict)
    _homeless: set[Key] = field(default_factory=set)
    _refusals: dict[Key, int] = field(default_factory=dict)
    _is_full: bool = False
    _may_try: bool = True
    _is_eased: bool = False

    @property
    def can_start(self) -> bool:
        """Whether one more load may start now."""
        if self._is_full:
            return self._may_try and not self.loading
        return len(self.loading) < self.most

    @property
    def is_pressing(self) -> bool:
        """Whether a load that was refused again and again is being tried between two batches."""
        return (
            self._is_full
            and not self._is_eased
            and any(self._refusals.get(key, 0) >= _PATIENCE for key in self.loading)
        )

    def want(self, version: TaskVersion) -> None:
        """Bring a version in though no row waits for it."""
        self.wanted[key_of(version)] = version

    def start(
        self, waiting: Iterable[TaskVersion], is_on_device: Callable[[TaskVersion], bool]
    ) -> list[TaskVersion]:
        """The versions to load now; each must be `came`, `refused` or `failed` later.

        Args:
            waiting: versions that rows wait for or that are wanted, the longest waiter first.
            is_on_device: asked for those that are neither held nor on their way.
        """
        started: list[TaskVersion] = []
        for version in waiting:
            if not self.can_start:
                return started
            key = key_of(version)
            if key in self.loading or self.is_warm(version, is_on_device):
                self.wanted.pop(key, None)
                continue
            self.loading[key] = version
            started.append(version)
        if not started and not self.loading:
            self._is_full = False
            self._refusals.clear()
            self._homeless.clear()
        return started

    def is_warm(self, version: TaskVersion, is_on_device: Callable[[TaskVersion], bool]) -> bool:
        """Whether a batch may take rows of a version."""
        if key_of(version) in self.held:
            return True
        if key_of(version) in self.loading or key_of(version) in self._homeless:
            return False
        return is_on_device(version)

    def came(self, version: TaskVersion, *, is_awaited: bool) -> bool:
        """A load is done; whether the version stays held for rows that wait."""
        self._end(version)
        self._refusals.pop(key_of(version), None)
        if is_awaited:
            self.held[key_of(version)] = version
        return is_awaited

    def refused(self, version: TaskVersion) -> None:
        """There was no room for a load."""
        self._end(version, is_homeless=key_of(version) in self._homeless)
        self._refusals[key_of(version)] = self._refusals.get(key_of(version), 0) + 1
        self._is_full, self._may_try = True, False

    def is_hopeless(self, version: TaskVersion) -> bool:
        """Whether a version was refused so often that batches would wait for it."""
        return self._refusals.get(key_of(version), 0) >= _PATIENCE

    def failed(self, version: TaskVersion) -> None:
        """A load can not be done."""
        self._end(version)
        self._refusals.pop(key_of(version), None)

    def _end(self, version: TaskVersion, *, is_homeless: bool = False) -> None:
        del self.loading[key_of(version)]
        self.wanted.pop(key_of(version), None)
        if not is_homeless:
            self._homeless.discard(key_of(version))

    def make_room(self) -> None:
        """A batch has ended, so that room may have come."""
        self._may_try, self._is_eased = True, False

    def ease(self, *, is_idle: bool) -> None:
        """Nothing has changed for a while.

        Batches wait no longer for a load that takes its time. With no batch at all the room was
        somebody else's, who does not say when it is free again.
        """
        self._is_eased = True
        self._may_try |= is_idle

    def send_back(self, version: TaskVersion) -> None:
        """Rows of a version found no room in a batch: they run when it is held."""
        if key_of(version) not in self.held:
            self._homeless.add(key_of(version))

    def let_go(self, is_over: Callable[[Key], bool]) -> list[TaskVersion]:
        """End the holds of versions, by key; each of them must be released."""
        over = [version for key, version in self.held.items() if is_over(key)]
        for version in over:
            del self.held[key_of(version)]
        return over
