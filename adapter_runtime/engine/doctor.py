"""The doctor: one report on everything in a task's files, whether or not they are accepted."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from adapter_runtime.checkpoint import adapterhub, peft
from adapter_runtime.checkpoint.adapterhub import CONFIG_FILE
from adapter_runtime.engine.examples import check_examples
from adapter_runtime.engine.versions import find_head, read_version
from adapter_runtime.errors import PolyheadError, RejectedAdapter
from adapter_runtime.reports import Report
from adapter_runtime.types import (
    Adapter,
    HeadWeights,
    Leaf,
    Note,
    Row,
    TaskSpec,
    TaskVersion,
    WorkItem,
    leaves,
)

if TYPE_CHECKING:
    from adapter_runtime.engine.engine import LocalEngine

PROBE_TOKENS = 8


log = logging.getLogger(__name__)
_ADAPTER_FILES = (CONFIG_FILE, *adapterhub.WEIGHT_FILES, *peft.WEIGHT_FILES)


def examine(spec: TaskSpec, engine: LocalEngine) -> Report:
    """Read, check and try a task's files. Blocks; runs one short forward.

    Args:
        spec: the task; its leaves are Sources. A folder that holds only a head is taken as one.
        engine: where the task would run.

    Raises:
        SourceError: there are no such files at all.
    """
    for leaf in leaves(spec.adapter):
        engine.library.open_folder(leaf.ref)
    facts: dict[str, Any] = {"task": spec.name, "backbone": _backbone(engine)}
    try:
        spec = _as_head_only(spec, engine)
        problems = _adapter_problems(spec, engine, facts)
        problems += _version_problems(spec, engine, facts, is_sound=not problems)
    except RejectedAdapter as error:
        problems = list(error.problems)
    except PolyheadError as error:
        problems = [Note(error.code, str(error))]
    except Exception as error:  # hostile files find what nobody thought of; a verdict is due still
        log.exception("The doctor met an unexpected error in %r", spec.name)
        problems = [Note("internal_error", f"{type(error).__name__}: {error}; please report it.")]
    warnings = facts.pop("warnings", ())
    return Report(not problems, tuple(problems), warnings, facts)


def _as_head_only(spec: TaskSpec, engine: LocalEngine) -> TaskSpec:
    if not isinstance(spec.adapter, Leaf) or spec.head is not None:
        return spec
    folder = engine.library.open_folder(spec.adapter.ref)
    if folder.has("head_config.json") and not any(map(folder.has, _ADAPTER_FILES)):
        return replace(spec, adapter=None, head=spec.adapter.ref)
    return spec


def _adapter_problems(spec: TaskSpec, engine: LocalEngine, facts: dict[str, Any]) -> list[Note]:
    problems: list[Note] = []
    facts["adapters"] = []
    for leaf in leaves(spec.adapter):
        found = engine.library.examine_adapter(leaf.ref, spec.options)
        problems += found.problems
        about = _adapter(found.adapter) if found.adapter else {"format": found.format}
        facts["adapters"].append({"source": leaf.ref, **about, "tensors": dict(found.accounts)})
        if found.adapter:
            facts["fingerprint"] = _fingerprint(found.adapter, engine)
    return problems


def _version_problems(
    spec: TaskSpec, engine: LocalEngine, facts: dict[str, Any], is_sound: bool
) -> list[Note]:
    """What is wrong with the head, the task's settings, and a forward through all of it."""
    if not is_sound:
        try:
            find_head(spec, engine.backbone, engine.library)
        except RejectedAdapter as error:
            return list(error.problems)
        return []
    version = read_version(spec, engine.backbone, engine.library)
    adapters = [engine.library.item(leaf.ref) for leaf in leaves(version.composition)]
    head = engine.library.item(version.head.digest)
    facts |= {
        "warnings": version.notes,
        "kind": version.kind,
        "digest": version.digest,
        "labels": list(version.labels),
        "limits": {"max_tokens": version.limits.max_tokens, "overflow": version.limits.overflow},
        "head": _head(head),
        "cost": _cost(adapters, head, engine),
    }
    engine.room.check(spec.name, engine.needs(version), is_pinned=spec.pinned)
    return _try_forward(version, engine) or check_examples(version, engine)


def _try_forward(version: TaskVersion, engine: LocalEngine) -> list[Note]:
    """A forward of a few tokens must give finite numbers."""
    facts = engine.backbone.facts
    length = min(PROBE_TOKENS, engine.backbone.max_tokens)
    row = Row(tuple(token % facts.vocab_size for token in range(5, 5 + length)))
    outcome = engine.run([WorkItem(version, row, raw=True)]).outcomes[0]
    return [Note("probe_failed", str(outcome))] if isinstance(outcome, Exception) else []


def _backbone(engine: LocalEngine) -> Mapping[str, Any]:
    facts = engine.backbone.facts
    return {
        "name": facts.model_name,
        "model_type": facts.model_type,
        "hidden_size": facts.hidden_size,
        "num_layers": facts.num_layers,
        "vocab_size": facts.vocab_size,
    }


def _fingerprint(adapter: Adapter, engine: LocalEngine) -> Mapping[str, Any]:
    """What the checkpoint says of its backbone, beside this one; None where it says nothing."""
    config, facts = adapter.config, engine.backbone.facts
    named = config.get("model_name") or config.get("base_model_name_or_path")
    return {
        "trained_on": named,
        "model_type": config.get("model_type"),
        "hidden_size": config.get("hidden_size"),
        "matches": not any(note.code == "other_backbone_name" for note in adapter.notes)
        and config.get("hidden_size") in (None, facts.hidden_size),
    }


def _adapter(adapter: Adapter) -> Mapping[str, Any]:
    layers: dict[str, list[int]] = {}
    for part in adapter.parts:
        layers.setdefault(f"{part.method} at {part.point.site}", []).append(part.point.layer)
    return {
        "name": adapter.name,
        "format": adapter.format,
        "library": adapter.library,
        "digest": adapter.digest,
        "methods": list(adapter.methods),
        "plug_points": layers,
    }


def _head(head: HeadWeights) -> Mapping[str, Any]:
    return {
        "type": head.spec.head_type,
        "name": head.spec.name,
        "num_labels": len(head.spec.labels),
        "tensors": {name: list(tensor.shape) for name, tensor in head.tensors.items()},
    }


def _cost(adapters: Sequence[Adapter], head: HeadWeights, engine: LocalEngine) -> Mapping[str, Any]:
    backbone = sum(weight.numel() for weight in engine.backbone.model.parameters())
    parameters = sum(
        tensor.numel()
        for adapter in adapters
        for part in adapter.parts
        for tensor in part.tensors.values()
    )
    return {
        "adapter_parameters": parameters,
        "adapter_bytes": sum(adapter.num_bytes for adapter in adapters),
        "head_bytes": head.num_bytes,
        "share_of_backbone": round(parameters / backbone, 6),
    }
