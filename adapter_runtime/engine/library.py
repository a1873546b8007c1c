"""Every checkpoint the engine knows: where it came from, and its weights in the host store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.heads.reading import read_head
from adapter_runtime.checkpoint.hub.fusions import examine_fusion, read_fusion_layer
from adapter_runtime.checkpoint.merging import merge_adapters
from adapter_runtime.checkpoint.reader import Examination, examine_adapter, read_adapter
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.residency.store import AdapterStore
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Adapter, HeadWeights, Merge, Note

Item = Adapter | HeadWeights


class Library:
    """Reads adapters and heads by Source, and brings evicted ones back by digest.

    Thread-safe: the store is single-flight, and an origin is written once per digest.

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
        self._origins: dict[str, Callable[[], Item]] = {}

    def read_adapter(self, source: str, options: Mapping[str, Any]) -> Adapter:
        """Read, check and keep an adapter. Blocks.

        Raises:
            SourceError, RejectedAdapter: the files cannot be read or do not fit.
        """
        return self._keep_adapter(
            lambda: read_adapter(self.open_folder(source), self.facts, options), source
        )

    def read_fusion(self, source: str, options: Mapping[str, Any]) -> Adapter:
        """Read, check and keep an AdapterFusion layer. Blocks.

        Raises:
            SourceError, RejectedAdapter: the files cannot be read or do not fit.
        """
        return self._keep_adapter(
            lambda: read_fusion_layer(self.open_folder(source), self.facts, options), source
        )

    def read_merge(self, merge: Merge, options: Mapping[str, Any]) -> Adapter:
        """Read and check several adapters, and keep the one that they merge into. Blocks.

        Raises:
            SourceError, RejectedAdapter: the files cannot be read, do not fit, or do not merge.
        """

        def read() -> Adapter:
            folders = [self.open_folder(child.ref) for child in merge.children]
            return merge_adapters(folders, merge, self.facts, options)

        return self._keep_adapter(read, " + ".join(child.ref for child in merge.children))

    def _keep_adapter(self, read: Callable[[], Adapter], source: str) -> Adapter:
        adapter = read()
        self.add(adapter.digest, adapter, lambda: _unchanged(read(), adapter.digest, source))
        return adapter

    def read_head(
        self, source: str, labels: tuple[str, ...] | None, options: Mapping[str, Any]
    ) -> HeadWeights | None:
        """Read, check and keep the head in a folder; None when the folder has none. Blocks.

        Raises:
            SourceError, RejectedAdapter: the files cannot be read or do not fit.
        """

        def read() -> HeadWeights | None:
            return read_head(self.open_folder(source), self.facts, labels, options)

        head = read()
        if head is not None:
            digest = head.spec.digest
            self.add(digest, head, lambda: _unchanged(read(), digest, source))
        return head

    def examine_adapter(self, source: str, options: Mapping[str, Any]) -> Examination:
        """Everything there is to say about an adapter's files; keeps nothing. Blocks.

        Raises:
            SourceError, RejectedAdapter: the files cannot be opened at all.
        """
        return examine_adapter(self.open_folder(source), self.facts, options)

    def examine_fusion(self, source: str, options: Mapping[str, Any]) -> Examination:
        """As `examine_adapter`, for an AdapterFusion layer. Blocks.

        Raises:
            SourceError, RejectedAdapter: the files cannot be opened at all.
        """
        return examine_fusion(self.open_folder(source), self.facts, options)

    def add(self, digest: str, item: Item, reload: Callable[[], Item] | None = None) -> None:
        """Keep an item; without `reload` it stays in memory for as long as the library lives."""
        self._origins[digest] = reload or (lambda: item)
        # It may have been lost at another Source, and was found again at this one.
        self.store.forgive(digest)
        self.store.get(digest, lambda: item)

    def forget(self, digest: str) -> None:
        """Drop an item and where it came from."""
        self._origins.pop(digest, None)
        self.store.discard(digest)

    def item(self, digest: str) -> Any:
        """The adapter or head of a digest, read again if it was evicted. May block.

        Raises:
            SourceError, RejectedAdapter: it had to be read again and could not be.
        """
        return self.store.get(digest, self._origins[digest])

    def keep(self, digest: str) -> None:
        """Hold an item in host memory until it is forgotten. May block as `item`."""
        self.store.keep(digest)
        self.item(digest)

    def is_loaded(self, digest: str) -> bool:
        """Whether the item is in host memory now."""
        return digest in self.store


def _unchanged(item: Item | None, digest: str, source: str) -> Item:
    found = None if item is None else item.digest if isinstance(item, Adapter) else item.spec.digest
    if item is None or found != digest:
        raise RejectedAdapter(
            source,
            [
                Note(
                    "source_changed",
                    "The files changed since the version was admitted; add a new version.",
                )
            ],
        )
    return item
