"""From a task's specification to its immutable version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from adapter_runtime.backbone.backbone import Backbone
from adapter_runtime.engine.asking import ASKED, answering_spec, kinds_of
from adapter_runtime.engine.composing import describe, read_composition
from adapter_runtime.engine.length_rule import find_limits
from adapter_runtime.engine.reading import Reading
from adapter_runtime.engine.task_head import find_head
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.methods.table import METHODS
from adapter_runtime.types import (
    Composition,
    HeadWeights,
    Kind,
    Limits,
    Note,
    Part,
    RowExtension,
    TaskSpec,
    TaskVersion,
    map_leaves,
)

_ID_DIGITS = 12


def read_version(spec: TaskSpec, backbone: Backbone, reading: Reading) -> TaskVersion:
    """Read a task's files and name its version. Blocks.

    Raises:
        SourceError: files cannot be read.
        RejectedAdapter: a check failed.
    """
    composed = read_composition(spec.adapter, spec.options, reading, spec.name)
    head = find_head(spec, backbone, reading, composed.adapters)
    extension = find_extension([adapter.parts for adapter in composed.adapters])
    version = make_version(spec, composed.tree, head, backbone, composed.notes, extension)
    return _named(version, entry_digest(spec, reading.fingerprint))


def with_sources(spec: TaskSpec, change: Callable[[str], str]) -> TaskSpec:
    """The task with every Source changed."""
    tree = spec.adapter and map_leaves(spec.adapter, change)
    return replace(spec, adapter=tree, head=spec.head and change(spec.head))


def entry_digest(spec: TaskSpec, fingerprint: Callable[[str], str]) -> str:
    """SHA-256 (hex) of what an entry means: neither its name nor where its files lie. Blocks.

    Args:
        spec: the task.
        fingerprint: what a Source holds.

    Raises:
        SourceError: files cannot be read.
    """
    tree = spec.adapter and map_leaves(spec.adapter, fingerprint)
    meaning = {
        "adapter": describe(tree),
        "head": spec.head and fingerprint(spec.head),
        "kind": spec.kind,
        "labels": spec.labels,
        "limits": (spec.limits.max_tokens, spec.limits.overflow),
        "options": dict(spec.options),
    }
    return hashlib.sha256(json.dumps(meaning, sort_keys=True, default=str).encode()).hexdigest()


def _named(version: TaskVersion, digest: str) -> TaskVersion:
    return replace(version, digest=digest, id=digest[:_ID_DIGITS])


def find_extension(adapters: Sequence[Sequence[Part]]) -> RowExtension | None:
    """What the adapters of a composition, in its order, add to every row.

    Virtual tokens come from the first adapter only; shifts of positions add up.
    """
    found = [
        dict.fromkeys(filter(None, (METHODS[part.method].extension(part) for part in parts)))
        for parts in adapters
    ]
    # Those of later adapters are not in the rows, so they change nothing else either.
    acting = [
        extension
        for number, extensions in enumerate(found)
        for extension in extensions
        if number == 0 or not extension.num_tokens
    ]
    if not acting:
        return None
    tokens = next((each for each in acting if each.num_tokens), RowExtension())
    shift, reads_types = (
        sum(each.shift for each in acting),
        all(each.reads_types for each in acting),
    )
    return tokens._replace(shift=shift, reads_types=reads_types)


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
    kind = find_kind(spec, head.spec.head_type)
    _check_labels(head.spec.labels, spec.name)
    most = _room(spec, backbone, extension)
    answering = answering_spec(head.spec, kind, spec.options, spec.name)
    limits = find_limits(spec, kind, answering.head_type, backbone, most)
    digest = _digest(composition, head.spec.digest, kind, limits, spec.options)
    return TaskVersion(
        task=spec.name,
        extension=extension,
        id=digest[:_ID_DIGITS],
        digest=digest,
        kind=kind,
        head=answering,
        composition=composition,
        limits=limits,
        spec=spec,
        notes=(*notes, *head.notes),
    )


def find_kind(spec: TaskSpec, head_type: str) -> Kind:
    """What a task with such a head answers.

    Raises:
        RejectedAdapter: not what the task says.
    """
    kinds = kinds_of(head_type)
    kind = spec.kind or kinds[0]
    if kind not in kinds:
        able = ", ".join(kinds)
        problem = Note("kind_mismatch", f"A {head_type} head answers {able}, not {kind}.")
        raise RejectedAdapter(spec.name, [problem])
    if kind not in ASKED and "entailment" in spec.options:
        message = f"options.entailment is for {', '.join(ASKED)}, not {kind}; leave it out."
        raise RejectedAdapter(spec.name, [Note("unused_option", message)])
    return kind


def _check_labels(labels: Sequence[str], where: str) -> None:
    """Labels go over the wire, so UTF-8 must be able to say them."""
    for label in labels:
        try:
            label.encode()
        except UnicodeEncodeError as error:
            message = f"The label {label!r} is no valid text; name the labels in the task."
            raise RejectedAdapter(where, [Note("bad_label", message)]) from error


def _room(spec: TaskSpec, backbone: Backbone, extension: RowExtension | None) -> int:
    """The most tokens of an input beside what the adapters put before it."""
    taken = extension.num_positions if extension else 0
    if taken >= backbone.max_tokens:
        message = (
            f"Its adapter takes {taken} positions; {backbone.facts.model_name} has "
            f"{backbone.max_tokens}, which leaves none for text."
        )
        raise RejectedAdapter(spec.name, [Note("limit_out_of_range", message)])
    return backbone.max_tokens - taken


def _digest(
    composition: Composition | None,
    head: str,
    kind: Kind,
    limits: Limits,
    options: Mapping[str, Any],
) -> str:
    facts = [repr(composition), head, kind, repr(limits), dict(options)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
