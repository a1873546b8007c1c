"""One reading of a task's files: folders opened once, their files unchanged from first to last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.heads.reading import read_head
from adapter_runtime.checkpoint.hub.fusions import examine_fusion, read_fusion_layer
from adapter_runtime.checkpoint.merging import merge_adapters
from adapter_runtime.checkpoint.reader import Examination, examine_adapter, read_adapter
from adapter_runtime.engine.library import Item, Library, Use
from adapter_runtime.errors import PolyheadError, SourceError
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Adapter, HeadWeights, Merge

Found = TypeVar("Found")
Kept = TypeVar("Kept", Adapter, HeadWeights)
_ATTEMPTS = 2


class Reading:
    """What is read is held in the library until the block ends, or for good by who takes it.

    Args:
        library: keeps what is read.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self._folders: dict[str, Folder] = {}
        self._stamps: dict[str, object] = {}
        self._uses: list[Use] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.library.give_back(self.take())

    @property
    def facts(self) -> BackboneFacts:
        """The backbone that checkpoints must fit."""
        return self.library.facts

    def take(self) -> tuple[Use, ...]:
        """What was read, which is the caller's to give back from now on."""
        uses, self._uses = tuple(self._uses), []
        return uses

    @property
    def sources(self) -> tuple[str, ...]:
        """The Sources whose folders were opened."""
        return tuple(self._folders)

    def folder(self, source: str) -> Folder:
        """The files of a Source, opened once. Blocks.

        Raises:
            SourceError: they cannot be found.
        """
        if source not in self._folders:
            folder = self.library.open_folder(source)
            self._stamps[source] = folder.stamp()
            self._folders[source] = folder
        return self._folders[source]

    def is_steady(self) -> bool:
        """Whether no file has changed since its folder was opened."""
        try:
            return all(
                folder.stamp() == self._stamps[source] for source, folder in self._folders.items()
            )
        except SourceError:
            return False

    def fingerprint(self, source: str) -> str:
        """What a Source holds, whatever it is called. Blocks."""
        return self.folder(source).fingerprint()

    def read_adapter(self, source: str, options: Mapping[str, Any]) -> Adapter:
        """Read, check and keep an adapter. Blocks.

        Raises:
            SourceError, RejectedAdapter: the files cannot be read or do not fit.
        """

        def read(reading: Reading) -> Adapter:
            return read_adapter(reading.folder(source), reading.facts, options)

        return self._keep(read(self), read, source)

    def read_fusion(self, source: str, options: Mapping[str, Any]) -> Adapter:
        """Read, check and keep an AdapterFusion layer. Blocks.

        Raises:
            SourceError, RejectedAdapter: the files cannot be read or do not fit.
        """

        def read(reading: Reading) -> Adapter:
            return read_fusion_layer(reading.folder(source), reading.facts, options)

        return self._keep(read(self), read, source)

    def read_merge(self, merge: Merge, options: Mapping[str, Any]) -> Adapter:
        """Read and check several adapters, and keep the one that they merge into. Blocks.

        Raises:
            SourceError, RejectedAdapter: the files cannot be read, do not fit, or do not merge.
        """

        def read(reading: Reading) -> Adapter:
            folders = [reading.folder(child.ref) for child in merge.children]
            return merge_adapters(folders, merge, reading.facts, options)

        return self._keep(read(self), read, " + ".join(child.ref for child in merge.children))

    def read_head(
        self, source: str, labels: tuple[str, ...] | None, options: Mapping[str, Any]
    ) -> HeadWeights | None:
        """Read, check and keep the head in a folder; None when the folder has none. Blocks.

        Raises:
            SourceError, RejectedAdapter: the files cannot be read or do not fit.
        """

        def read(reading: Reading) -> HeadWeights | None:
            return read_head(reading.folder(source), reading.facts, labels, options)

        head = read(self)
        return None if head is None else self._keep(head, read, source)

    def _keep(self, item: Kept, read: Callable[[Reading], Item | None], source: str) -> Kept:
        library = self.library
        self._uses.append(library.add(item, source, lambda: steadily(library, read)[0]))
        return item

    def keep(self, head: HeadWeights) -> HeadWeights:
        """Keep a head that has no files of its own."""
        self._uses.append(self.library.add(head))
        return head

    def examine_adapter(self, source: str, options: Mapping[str, Any]) -> Examination:
        """Everything there is to say about an adapter's files; keeps nothing. Blocks.

        Raises:
            SourceError, RejectedAdapter: the files cannot be opened at all.
        """
        return examine_adapter(self.folder(source), self.facts, options)

    def examine_fusion(self, source: str, options: Mapping[str, Any]) -> Examination:
        """As `examine_adapter`, for an AdapterFusion layer. Blocks.

        Raises:
            SourceError, RejectedAdapter: the files cannot be opened at all.
        """
        return examine_fusion(self.folder(source), self.facts, options)


def steadily(library: Library, read: Callable[[Reading], Found]) -> tuple[Found, Sequence[Use]]:
    """Read until no file changed meanwhile, once more at most; with what is to be given back.

    Raises:
        SourceError: the files change all the time, or cannot be read.
        RejectedAdapter: what they hold steadily is not sound.
    """
    for _ in range(_ATTEMPTS):
        with Reading(library) as reading:
            try:
                found = read(reading)
            except PolyheadError:
                if reading.is_steady():
                    raise
            else:
                if reading.is_steady():
                    return found, reading.take()
    sources = ", ".join(reading.sources)
    raise SourceError(
        f"{sources}: its files change while they are read; write them elsewhere and move the "
        "finished folder into place."
    )
