"""What a task's long inputs become: its limits, with what its head and its options make of them."""

from __future__ import annotations

from adapter_runtime.backbone.backbone import Backbone
from adapter_runtime.engine.task_head import EMBEDDING_KINDS
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.heads.base import HeadKind
from adapter_runtime.heads.table import HEADS
from adapter_runtime.types import Aggregation, Kind, Limits, Note, Overflow, TaskSpec

_WITHOUT_STRIDE = frozenset({Aggregation.SENTENCES, Aggregation.LAST})


def find_limits(
    spec: TaskSpec, kind: Kind, head_type: str, backbone: Backbone, most: int
) -> Limits:
    """The length rule of a task with such a head.

    Args:
        spec, kind, head_type, backbone: of the task.
        most: tokens of one input.

    Raises:
        RejectedAdapter: not what the task says.
    """
    head = HEADS[head_type]
    overflow = spec.limits.overflow or head.overflows[0]
    if overflow not in head.overflows:
        able = ", ".join(head.overflows)
        message = f"{kind} can {able} long inputs, not {overflow}."
        raise _rejected(spec, "unsupported_overflow", message)
    max_tokens = _max_tokens(spec, kind, backbone, most)
    if overflow is not Overflow.WINDOW:
        _refuse_window_options(spec, overflow)
        return Limits(max_tokens, overflow)
    aggregation = _aggregation(spec, kind, head)
    return Limits(max_tokens, overflow, _stride(spec, kind, max_tokens, aggregation), aggregation)


def _refuse_window_options(spec: TaskSpec, overflow: Overflow) -> None:
    for name in ("stride", "aggregation"):
        if name in spec.options:
            message = (
                f"options.{name} is for windows and this task will {overflow} long inputs; "
                "set limits.overflow to window, or leave it out."
            )
            raise _rejected(spec, "unused_option", message)


def _aggregation(spec: TaskSpec, kind: Kind, head: HeadKind) -> Aggregation:
    named = spec.options.get("aggregation")
    aggregation = head.aggregations[0] if named is None else Aggregation(named)
    if aggregation not in head.aggregations:
        able = ", ".join(head.aggregations)
        message = f"options.aggregation of {kind} may be {able}, not {named}."
        raise _rejected(spec, "unsupported_aggregation", message)
    return aggregation


def _stride(spec: TaskSpec, kind: Kind, most: int, aggregation: Aggregation) -> int | None:
    stride: int | None = spec.options.get("stride")
    if stride is None:
        return None
    if aggregation in _WITHOUT_STRIDE:
        message = f"Windows of {kind} share no tokens; leave options.stride out."
        raise _rejected(spec, "unused_option", message)
    if not 0 <= stride < most:
        message = f"options.stride must be between 0 and {most - 1}, below limits.max_tokens."
        raise _rejected(spec, "limit_out_of_range", message)
    return stride


def _max_tokens(spec: TaskSpec, kind: Kind, backbone: Backbone, most: int) -> int:
    if spec.limits.max_tokens is None:
        sentence = backbone.sentence if kind in EMBEDDING_KINDS else None
        own = sentence.max_tokens if sentence else None
        return min(own or most, most)
    if not 1 <= spec.limits.max_tokens <= most:
        taken = backbone.max_tokens - most
        why = f": its adapter takes {taken} of {backbone.max_tokens} positions" if taken else ""
        message = f"limits.max_tokens must be between 1 and {most}{why}."
        raise _rejected(spec, "limit_out_of_range", message)
    return spec.limits.max_tokens


def _rejected(spec: TaskSpec, code: str, message: str) -> RejectedAdapter:
    return RejectedAdapter(spec.name, [Note(code, message)])
