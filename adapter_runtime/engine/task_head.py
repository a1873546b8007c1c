"""Which head answers a task, where the task does not say it."""

from __future__ import annotations

from collections.abc import Sequence

from adapter_runtime.backbone.backbone import Backbone
from adapter_runtime.checkpoint.heads.backbone import (
    LANGUAGE_KINDS,
    backbone_head,
    trained_kind,
)
from adapter_runtime.checkpoint.heads.reading import embedding_head
from adapter_runtime.compositions import last_leaf
from adapter_runtime.engine.reading import Reading
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.types import (
    Adapter,
    Composition,
    Fuse,
    HeadWeights,
    Kind,
    Note,
    Stack,
    TaskSpec,
)

EMBEDDING_KINDS = frozenset({Kind.FEATURE_EXTRACTION, Kind.SENTENCE_SIMILARITY})


def find_head(
    spec: TaskSpec, backbone: Backbone, reading: Reading, adapters: Sequence[Adapter] = ()
) -> HeadWeights:
    """The head named by the task, else the one beside its adapters, else one without files.

    Beside a fusion that ends the composition, else beside the last adapter. Without files there
    are the backbone's own language model head and, for everything else, the embedding head.

    Raises:
        RejectedAdapter: a head is named or needed and there is none.
    """
    sources = head_sources(spec)
    if sources is not None:
        for source in sources:
            if head := reading.read_head(source, spec.labels, spec.options):
                return head
        if spec.head is None and (own := _own_head(spec, backbone, adapters)):
            return reading.keep(own)
        wanted = _wanted_kind(spec, adapters)
        if spec.head is not None or wanted not in (None, *EMBEDDING_KINDS):
            raise missing_head(spec, sources, wanted)
    return reading.keep(embedding_head(backbone.sentence, spec.options))


def _wanted_kind(spec: TaskSpec, adapters: Sequence[Adapter]) -> Kind | None:
    """The task's kind, else that of the language model head that its last adapter trained under."""
    return spec.kind or (trained_kind(adapters[-1].config) if adapters else None)


def missing_head(spec: TaskSpec, sources: Sequence[str], kind: Kind | None) -> RejectedAdapter:
    """Why a task that needs a head cannot serve.

    Args:
        spec: the task.
        sources: where one was looked for.
        kind: what the task answers, by its own word or its adapter's.
    """
    where = sources[-1] if sources else spec.name
    neither = " and the backbone's folder none either" if kind in LANGUAGE_KINDS else ""
    message = f"{where} holds no prediction head{neither}; name one with `head:`."
    if spec.head is None and spec.kind is None:
        message = (
            f"It was trained under a language model head, {where} holds none{neither}; name one "
            "with `head:`, or set `kind: feature-extraction` for the hidden states."
        )
    return RejectedAdapter(spec.name, [Note("missing_head", message)])


def _own_head(
    spec: TaskSpec, backbone: Backbone, adapters: Sequence[Adapter]
) -> HeadWeights | None:
    """The backbone's language model head, where one is asked for or an adapter trained under it."""
    kind = _wanted_kind(spec, adapters)
    if kind not in LANGUAGE_KINDS:
        return None
    return backbone_head(backbone.facts, kind, spec.options)


def head_sources(spec: TaskSpec) -> list[str] | None:
    """Where a head may lie, first choice first; None for an embedding task, which needs no files.

    Beside the last fusion, and beside the last adapter.
    """
    if spec.head:
        return [spec.head]
    return None if spec.kind in EMBEDDING_KINDS else _last_sources(spec.adapter)


def _last_sources(tree: Composition | None) -> list[str]:
    if tree is None:
        return []
    if isinstance(tree, Stack):
        return _last_sources(tree.children[-1])
    fusions = [tree.fusion.ref] if isinstance(tree, Fuse) else []
    return [*fusions, last_leaf(tree).ref]
