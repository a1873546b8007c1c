"""What a task's configs tell before any weight is read."""

from __future__ import annotations

from collections.abc import Callable

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.compositions import nesting_problem
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.reports import Outline
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Note, TaskSpec, leaves

AtHand = Callable[[str], Folder | None]


def outline(spec: TaskSpec, facts: BackboneFacts, at_hand: AtHand) -> Outline:
    """What a task's configs say; what is not on this machine yet says nothing. Blocks.

    Args:
        spec: the task.
        facts: the backbone that it must fit.
        at_hand: opens a Source without asking a network.

    Raises:
        SourceError: a folder is not there.
        RejectedAdapter: the configs alone decide against it.
    """
    if spec.adapter and (problem := nesting_problem(spec.adapter)):
        raise RejectedAdapter(spec.name, [Note("unsupported_composition", f"Here {problem}.")])
    for source in dict.fromkeys([*(leaf.ref for leaf in leaves(spec.adapter)), spec.head]):
        if source:
            at_hand(source)
    return Outline(spec.kind, spec.labels or ())
