"""The next batch while it is being put together."""

from __future__ import annotations

from dataclasses import dataclass, field

from serving.scheduler.entries import Entry, Key, Pick, key_of


@dataclass(frozen=True, slots=True)
class Budget:
    """What one batch may hold. A single row always fits, however long."""

    tokens: int
    rows: int
    adapters: int


@dataclass(slots=True)
class Draft:
    """The next batch, and what was found on the way to it.

    Args:
        picks: rows to run, possibly none.
        dropped: entries that are late or cancelled; each carries its error.
        returned: keys of versions of which rows found no room when it ran.
        shared: rows of entries with mates, each by the mates' list and its number.
    """

    picks: list[Pick] = field(default_factory=list)
    dropped: list[Entry] = field(default_factory=list)
    tokens: int = 0
    adapters: set[str] = field(default_factory=set)
    returned: set[Key] = field(default_factory=set)
    shared: set[tuple[int, int]] = field(default_factory=set)

    def has_room(self, entry: Entry, budget: Budget) -> bool:
        """Whether the entry's next row fits."""
        if not self.picks:
            return True
        return (
            len(self.picks) < budget.rows
            and not self.is_too_long(entry, budget)
            and (
                entry.adapters <= self.adapters
                or len(self.adapters | entry.adapters) <= budget.adapters
            )
        )

    def is_too_long(self, entry: Entry, budget: Budget) -> bool:
        """Whether the entry's next row has more tokens than are left."""
        return self.tokens + self._cost(entry) > budget.tokens

    def is_full(self, budget: Budget) -> bool:
        """Whether no row at all fits any more."""
        return len(self.picks) >= budget.rows or self.tokens >= budget.tokens

    def take(self, entry: Entry) -> int:
        """Add the entry's next row; returns its tokens."""
        tokens = entry.next_tokens
        self.tokens += self._cost(entry)
        if entry.mates is not None:
            self.shared.add((id(entry.mates), entry.waiting[0]))
        self.picks.append(Pick(entry, entry.waiting.popleft()))
        if not entry.adapters <= self.adapters:
            self.adapters |= entry.adapters
        return tokens

    def _cost(self, entry: Entry) -> int:
        """Tokens that the entry's next row adds; none where a mate's is there already."""
        if entry.mates is not None and (id(entry.mates), entry.waiting[0]) in self.shared:
            return 0
        return entry.next_tokens

    def take_along(self, entry: Entry) -> int:
        """Add the next row of a mate of one that was picked; returns its tokens, which are free."""
        tokens = entry.next_tokens
        self.picks.append(Pick(entry, entry.waiting.popleft()))
        return tokens

    def versions(self) -> set[Key]:
        """The keys of the versions that take part."""
        return {key_of(pick.entry.version) for pick in self.picks}
