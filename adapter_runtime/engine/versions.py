"""From a task's specification to its immutable version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from adapter_runtime.backbone.backbone import Backbone
from adapter_runtime.checkpoint.heads import embedding_head
from adapter_runtime.engine.library import Library
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.heads.table import HEADS
from adapter_runtime.methods.table import METHODS
from adapter_runtime.types import (
    Adapter,
    Composition,
    HeadWeights,
    Kind,
    Limits,
    Note,
    Part,
    PlugPoint,
    RowExtension,
    TaskSpec,
    TaskVersion,
    leaves,
    map_leaves,
)

EMBEDDING_KINDS = frozenset({Kind.FEATURE_EXTRACTION, Kind.SENTENCE_SIMILARITY})


def read_version(spec: TaskSpec, backbone: Backbone, library: Library) -> TaskVersion:
    """Read a task's files and name its version. Blocks.

    Raises:
        SourceError: files cannot be read.
        RejectedAdapter: a check failed.
    """
    adapters = {
        leaf.ref: library.read_adapter(leaf.ref, spec.options) for leaf in leaves(spec.adapter)
    }
    _check_stack([adapters[leaf.ref] for leaf in leaves(spec.adapter)], spec.name, backbone)
    composition = spec.adapter and map_leaves(spec.adapter, lambda ref: adapters[ref].digest)
    head = find_head(spec, backbone, library)
    notes = tuple(note for adapter in adapters.values() for note in adapter.notes)
    parts = [adapters[leaf.ref].parts for leaf in leaves(spec.adapter)]
    return make_version(spec, composition, head, backbone, notes, find_extension(parts))


def find_extension(adapters: Sequence[Sequence[Part]]) -> RowExtension | None:
    """What the adapters of a composition, in its order, add to every row.

    Virtual tokens come from the first adapter only; shifts of positions add up.
    """
    tokens: RowExtension | None = None
    shifts = [0]
    for number, parts in enumerate(adapters):
        found = dict.fromkeys(METHODS[part.method].extension(part) for part in parts)
        for extension in filter(None, found):
            shifts.append(extension.shift)
            if extension.num_tokens and number == 0:
                tokens = extension
    if tokens is None and not any(shifts):
        return None
    return (tokens or RowExtension())._replace(shift=sum(shifts))


def _check_stack(adapters: Sequence[Adapter], where: str, backbone: Backbone) -> None:
    """Low-rank products of a Stack feed each other, so their point must keep its width.

    Raises:
        RejectedAdapter: one does not.
    """
    seen: set[PlugPoint] = set()
    for adapter in adapters:
        points = {part.point for part in adapter.parts if part.method == "lora"}
        for point in sorted(points & seen):
            out, width = backbone.facts.shapes[point]
            if out != width:
                message = (
                    f"LoRA at {point} maps width {width} to {out}, so two of them cannot be "
                    "stacked there; merge them first."
                )
                raise RejectedAdapter(where, [Note("not_stackable", message)])
        seen |= points


def find_head(spec: TaskSpec, backbone: Backbone, library: Library) -> HeadWeights:
    """The head named by the task, else the one beside its last adapter, else the embedding head.

    Raises:
        RejectedAdapter: a head is named or needed and there is none.
    """
    if spec.kind not in EMBEDDING_KINDS or spec.head is not None:
        source = spec.head or _last_source(spec.adapter)
        head = source and library.read_head(source, spec.labels, spec.options)
        if head:
            return head
        if spec.head is not None or spec.kind not in (None, *EMBEDDING_KINDS):
            where = source or spec.name
            problem = Note(
                "missing_head", f"{where} holds no prediction head; name one with `head:`."
            )
            raise RejectedAdapter(spec.name, [problem])
    head = embedding_head(backbone.sentence, spec.options)
    library.add(head.spec.digest, head)
    return head


def _last_source(tree: Composition | None) -> str | None:
    refs = [leaf.ref for leaf in leaves(tree)]
    return refs[-1] if refs else None


def make_version(
    spec: TaskSpec,
    composition: Composition | None,
    head: HeadWeights,
    backbone: Backbone,
    notes: tuple[Note, ...] = (),
    extension: RowExtension | None = None,
) -> TaskVersion:
    """The version of a task whose adapters (by digest) and head are already read.

    Raises:
        RejectedAdapter: the head cannot answer the task's kind, or a limit exceeds the backbone's.
    """
    kinds = HEADS[head.spec.head_type].kinds
    kind = spec.kind or kinds[0]
    if kind not in kinds:
        able = ", ".join(kinds)
        problem = Note("kind_mismatch", f"A {head.spec.head_type} head answers {able}, not {kind}.")
        raise RejectedAdapter(spec.name, [problem])
    _check_labels(head.spec.labels, spec.name)
    limits = _limits(spec, kind, head.spec.head_type, backbone)
    digest = _digest(composition, head.spec.digest, kind, limits, spec.options)
    return TaskVersion(
        task=spec.name,
        extension=extension,
        id=digest[:12],
        digest=digest,
        kind=kind,
        head=head.spec,
        composition=composition,
        limits=limits,
        spec=spec,
        notes=(*notes, *head.notes),
    )


def _check_labels(labels: Sequence[str], where: str) -> None:
    """Labels go over the wire, so UTF-8 must be able to say them."""
    for label in labels:
        try:
            label.encode()
        except UnicodeEncodeError as error:
            message = f"The label {label!r} is no valid text; name the labels in the task."
            raise RejectedAdapter(where, [Note("bad_label", message)]) from error


def _limits(spec: TaskSpec, kind: Kind, head_type: str, backbone: Backbone) -> Limits:
    overflows = HEADS[head_type].overflows
    overflow = spec.limits.overflow or overflows[0]
    if overflow not in overflows:
        able = ", ".join(overflows)
        problem = Note("unsupported_overflow", f"{kind} can {able} long inputs, not {overflow}.")
        raise RejectedAdapter(spec.name, [problem])
    return Limits(_max_tokens(spec, kind, backbone), overflow)


def _max_tokens(spec: TaskSpec, kind: Kind, backbone: Backbone) -> int:
    most = backbone.max_tokens
    if spec.limits.max_tokens is None:
        sentence = backbone.sentence if kind in EMBEDDING_KINDS else None
        own = sentence.max_tokens if sentence else None
        return min(own or most, most)
    if not 1 <= spec.limits.max_tokens <= most:
        problem = Note("limit_out_of_range", f"limits.max_tokens must be between 1 and {most}.")
        raise RejectedAdapter(spec.name, [problem])
    return spec.limits.max_tokens


def _digest(
    composition: Composition | None,
    head: str,
    kind: Kind,
    limits: Limits,
    options: Mapping[str, Any],
) -> str:
    facts = [repr(composition), head, kind, repr(limits), dict(options)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
