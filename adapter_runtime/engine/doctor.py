"""The doctor: one report on everything in a task's files, whether or not they are accepted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from adapter_runtime.errors import PolyheadError, RejectedAdapter
from adapter_runtime.types import (
    Adapter,
    HeadWeights,
    Note,
    Report,
    Row,
    TaskSpec,
    TaskVersion,
    WorkItem,
    leaves,
)

if TYPE_CHECKING:
    from adapter_runtime.engine.engine import LocalEngine

PROBE_TOKENS = 8


def examine(spec: TaskSpec, engine: LocalEngine) -> Report:
    """Read, check and try a task's files. Blocks; runs one short forward.

    Args:
        spec: the task; its leaves are Sources.
        engine: where the task would run.
    """
    try:
        version = engine.prepare(spec)
    except RejectedAdapter as error:
        return _refusal(error.problems, engine)
    except PolyheadError as error:
        return _refusal([Note(error.code, str(error))], engine)
    problems = _try_forward(version, engine)
    adapters = [engine.library.item(leaf.ref) for leaf in leaves(version.composition)]
    head = engine.library.item(version.head.digest)
    return Report(
        accepted=not problems,
        problems=tuple(problems),
        warnings=version.notes,
        facts={
            "task": version.task,
            "kind": version.kind,
            "digest": version.digest,
            "labels": list(version.labels),
            "limits": {
                "max_tokens": version.limits.max_tokens,
                "overflow": version.limits.overflow,
            },
            "backbone": _backbone(engine),
            "adapters": [_adapter(adapter) for adapter in adapters],
            "head": _head(head),
            "cost": _cost(adapters, head, engine),
        },
    )


def _refusal(problems: Sequence[Note], engine: LocalEngine) -> Report:
    return Report(False, tuple(problems), (), {"backbone": _backbone(engine)})


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


def _adapter(adapter: Adapter) -> Mapping[str, Any]:
    points = Counter((part.method, str(part.point.site)) for part in adapter.parts)
    layers: dict[str, list[int]] = {}
    for part in adapter.parts:
        layers.setdefault(f"{part.method} at {part.point.site}", []).append(part.point.layer)
    return {
        "name": adapter.name,
        "format": adapter.format,
        "library": adapter.library,
        "digest": adapter.digest,
        "methods": list(adapter.methods),
        "plug_points": {f"{method} at {site}": count for (method, site), count in points.items()},
        "layers": layers,
        "tensors": sum(len(part.tensors) for part in adapter.parts),
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
