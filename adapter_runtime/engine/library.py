"""Every adapter and head the engine knows: who uses it, where it came from, and its weights."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.errors import PolyheadError, RejectedAdapter, SourceError
from adapter_runtime.methods.table import METHODS
from adapter_runtime.residency.layout import laid_out
from adapter_runtime.residency.store import AdapterStore
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Adapter, HeadWeights, Note

Item = Adapter | HeadWeights
Reload = Callable[[], Item | None]


class Use(NamedTuple):
    """One claim on an item, to be given back one day: its digest and where it came from."""

    digest: str
    origin: str


@dataclass(slots=True)
class _Origin:
    reload: Reload
    uses: int = 0


class Library:
    """Keeps items for as long as somebody uses them, and brings evicted ones back; thread-safe.

    Args:
        facts: the backbone that checkpoints must fit.
        store: the host store of parsed weights.
        open_folder: resolves a Source to its files.
    """

    def __init__(
        self, facts: BackboneFacts, store: AdapterStore[Item], open_folder: Callable[[str], Folder]
    ) -> None:
        self.facts = facts
        self.store = store
        self.open_folder = open_folder
        self._lock = threading.Lock()
        # An item's origins that are in use; any of them can bring it back.
        self._known: dict[str, dict[str, _Origin]] = {}

    def add(self, item: Item, origin: str = "", reload: Reload | None = None) -> Use:
        """Keep an item until this use is given back.

        Args:
            item: what was read.
            origin: where, for `reload`; uses of one origin share one.
            reload: reads it again; without it the item stays in memory for as long as it is used.

        Raises:
            CapacityError: it is larger than the store.
        """
        digest = digest_of(item)
        kept = _laid_out(item)
        self.store.put(digest, kept)
        with self._lock:
            origins = self._known.setdefault(digest, {})
            origins.setdefault(origin, _Origin(reload or (lambda: kept))).uses += 1
        return Use(digest, origin)

    def give_back(self, uses: Iterable[Use]) -> list[str]:
        """End uses; the digests of items that nobody uses now, which are forgotten."""
        gone = []
        with self._lock:
            for digest, origin in uses:
                origins = self._known[digest]
                origins[origin].uses -= 1
                if not origins[origin].uses:
                    del origins[origin]
                if not origins:
                    del self._known[digest]
                    gone.append(digest)
        # If somebody reads one of them again just now, its next use loads it once more.
        for digest in gone:
            self.store.discard(digest)
        return gone

    def item(self, digest: str) -> Any:
        """The adapter or head of a digest, read again if it was evicted. May block.

        Raises:
            SourceError, RejectedAdapter: it had to be read again and could not be.
            CapacityError: memory is too full.
        """
        self._origins(digest)
        return self.store.get(digest, lambda: self._reload(digest))

    def _origins(self, digest: str) -> Mapping[str, _Origin]:
        with self._lock:
            known = self._known.get(digest)
            if known is not None:
                return dict(known)
        raise SourceError(f"The weights {digest[:12]} were retired; add their version again.")

    def _reload(self, digest: str) -> Item:
        failures = []
        for origin, place in self._origins(digest).items():
            try:
                return _unchanged(place.reload, digest, origin)
            except PolyheadError as error:
                failures.append(error)
        raise failures[0]

    def keep(self, digest: str) -> None:
        """Hold an item in host memory until `unkeep`; counts. May block as `item`."""
        self.store.keep(digest)
        try:
            self.item(digest)
        except BaseException:
            self.store.unkeep(digest)
            raise

    def unkeep(self, digest: str) -> None:
        """Take back one `keep`."""
        self.store.unkeep(digest)

    def is_loaded(self, digest: str) -> bool:
        """Whether the item is in host memory now."""
        return digest in self.store

    def __len__(self) -> int:
        with self._lock:
            return len(self._known)


def _laid_out(item: Item) -> Item:
    return laid_out(item, METHODS) if isinstance(item, Adapter) else item


def digest_of(item: Item) -> str:
    """The digest of an item's content."""
    return item.digest if isinstance(item, Adapter) else item.spec.digest


def _unchanged(reload: Reload, digest: str, origin: str) -> Item:
    """What is read again; refused where its content is not what was admitted."""
    reasons: tuple[Note, ...] = ()
    try:
        item = reload()
        if item is not None and digest_of(item) == digest:
            return _laid_out(item)
    except RejectedAdapter as error:
        reasons = error.problems
    message = (
        "The files changed since the version was admitted; put them back, or add a new version."
    )
    raise RejectedAdapter(origin, [Note("source_changed", message), *reasons])
