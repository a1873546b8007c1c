"""What a task's configs tell before anything is fetched or any weight is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from adapter_runtime.backbone.backbone import Backbone
from adapter_runtime.checkpoint.heads.backbone import LANGUAGE_KINDS, trained_kind
from adapter_runtime.checkpoint.hub.fusions import read_config as read_fusion_config
from adapter_runtime.checkpoint.outlines import HeadOutline, outline_head
from adapter_runtime.checkpoint.reader import check_config
from adapter_runtime.compositions import members, nesting_problem
from adapter_runtime.engine.asking import answering_type
from adapter_runtime.engine.length_rule import find_limits
from adapter_runtime.engine.task_head import EMBEDDING_KINDS, head_sources, missing_head
from adapter_runtime.engine.versions import find_kind
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.reports import Outline
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Kind, Leaf, Note, TaskSpec

Found = TypeVar("Found")
AtHand = Callable[[str], Folder | None]
_SETTLED_SCHEMES = ("pkg", "file")


def outline(spec: TaskSpec, backbone: Backbone, at_hand: AtHand) -> Outline:
    """What a task's configs say; what is not on this machine yet says nothing. Blocks.

    Args:
        spec: the task.
        backbone: what it must fit.
        at_hand: opens a Source without asking a network.

    Raises:
        SourceError: a folder is not there.
        RejectedAdapter: the configs alone decide against it.
    """
    if spec.adapter and (problem := nesting_problem(spec.adapter)):
        raise RejectedAdapter(spec.name, [Note("unsupported_composition", f"Here {problem}.")])
    configs = _Configs(spec, backbone, at_hand)
    adapters = [configs.adapter(leaf, is_fusion) for leaf, is_fusion in members(spec.adapter)]
    head = configs.head()
    if head is None and not configs.is_whole:
        return Outline(spec.kind, spec.labels or (), configs.is_here)
    kind = _kind_without_head(spec, adapters) if head is None else find_kind(spec, head.head_type)
    if head is not None:
        find_limits(spec, kind, answering_type(head.head_type, kind), backbone, backbone.max_tokens)
    labels = spec.labels or (head.labels if head else ())
    return Outline(kind, labels, configs.is_here)


def _kind_without_head(spec: TaskSpec, adapters: list[Mapping[str, Any]]) -> Kind:
    """As `find_head` decides where no folder holds a head.

    Raises:
        RejectedAdapter: there must be one.
    """
    kind = spec.kind or (trained_kind(adapters[-1]) if adapters else None)
    is_own = kind in LANGUAGE_KINDS and spec.head is None
    if is_own or (spec.head is None and kind in (None, *EMBEDDING_KINDS)):
        return kind or Kind.FEATURE_EXTRACTION
    raise missing_head(spec, head_sources(spec) or (), kind)


class _Configs:
    """The configs of one task's folders.

    Args:
        spec, backbone, at_hand: as for `outline`.
    """

    def __init__(self, spec: TaskSpec, backbone: Backbone, at_hand: AtHand) -> None:
        self.spec, self.facts, self._at_hand = spec, backbone.facts, at_hand
        self.is_whole = True
        self._folders: dict[str, Folder | None] = {}

    @property
    def is_here(self) -> bool:
        """Whether every folder that was opened is what its Source names now."""
        return self.is_whole and all(
            folder is not None and _is_settled(source, folder)
            for source, folder in self._folders.items()
        )

    def adapter(self, leaf: Leaf, is_fusion: bool) -> Mapping[str, Any]:
        """The config of an adapter or of a fusion layer; empty where it is not here."""

        def read(folder: Folder) -> Mapping[str, Any]:
            if is_fusion:
                return read_fusion_config(folder, self.facts)
            return check_config(folder, self.facts, self.spec.options)

        return self._read(leaf.ref, read) or {}

    def head(self) -> HeadOutline | None:
        """The head that would answer, where it has files; None for those that have none."""
        for source in head_sources(self.spec) or ():
            if found := self._read(source, lambda folder: outline_head(folder, self.facts)):
                return found
            if not self.is_whole:
                return None
        return None

    def _read(self, source: str, read: Callable[[Folder], Found]) -> Found | None:
        folder = self._folder(source)
        if folder is None:
            self.is_whole = False
            return None
        try:
            return read(folder)
        except RejectedAdapter:
            if _is_settled(source, folder):
                raise
            # A network has newer files perhaps; nothing is decided on old ones.
            self.is_whole = False
            return None

    def _folder(self, source: str) -> Folder | None:
        if source not in self._folders:
            self._folders[source] = self._at_hand(source)
        return self._folders[source]


def _is_settled(source: str, folder: Folder) -> bool:
    """Whether the folder is what the Source names now, not what a network gave another time."""
    if folder.identity is not None:
        return source == f"hf://{folder.identity}"
    scheme, separator, _ = source.partition("://")
    return not separator or scheme in _SETTLED_SCHEMES
