"""What this process changed for itself where the catalog cannot be written."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from serving.catalog.plans import TaskFile, TaskPlan


class Overrides:
    """Plans that hold here for as long as their entries stay what they were. Thread-safe."""

    def __init__(self) -> None:
        self._plans: dict[str, TaskPlan] = {}
        self._lock = threading.Lock()

    def set(self, plan: TaskPlan) -> None:
        """Let a plan hold instead of the entry with the same etag."""
        with self._lock:
            self._plans[plan.name] = plan

    def over(self, file: TaskFile) -> TaskFile:
        """What the catalog says, with these plans for the entries that are still the same."""
        with self._lock:
            kept = {
                plan.name: mine
                for plan in file.plans
                if (mine := self._plans.get(plan.name)) is not None and mine.etag == plan.etag
            }
            self._plans = kept
        return replace(file, plans=tuple(kept.get(plan.name, plan) for plan in file.plans))


def without_traffic(
    plan: TaskPlan, ids: Sequence[str | None], out: int, instead: int | None, reason: str
) -> TaskPlan:
    """A task's plan with one version taken out of the traffic.

    Args:
        plan: as it is.
        ids: of its versions, where they are known.
        out: place of the version among them.
        instead: place of the one that takes over where no weight is left; None: nobody does.
        reason: why, as a sentence.
    """
    before = plan.versions[out]
    weight = 0.0 if before.weight else before.weight
    versions = list(plan.versions)
    versions[out] = replace(before, rolled_back=reason, shadow=False, weight=weight)
    if plan.has_weights and not any(each.weight for each in versions):
        known = plan.previous_weights or {}
        weights = [known.get(id or "", 0.0) for id in ids]
        weights[out] = 0.0
        if not any(weights) and instead is not None:
            weights[instead] = 100.0
        versions = [
            replace(each, weight=weight) for each, weight in zip(versions, weights, strict=True)
        ]
    return replace(plan, versions=tuple(versions))
