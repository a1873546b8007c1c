"""A version while it lives: its plan, its state, and who uses it."""

from __future__ import annotations

from adapter_runtime import Note, Outline, TaskVersion
from serving.catalog.plans import RollbackRule, VersionPlan
from serving.lifecycle.live.states import HOPEFUL, State
from serving.lifecycle.live.windows import Traffic
from serving.origins import HERE, origin_of

_ID_DIGITS = 12


class Version:
    """One version of a live task; its fields change under the lock of its `Tasks` only.

    Args:
        task: the task's name.
        plan: what the catalog says of it.
        rule: when it is taken out of the traffic by itself.
        outline: what its configs say.

    Attributes:
        prepared: the version as the engine read it; None before.
        reasons: why it is rejected or quarantined.
        last_error: the last failure, as a sentence.
        retry_at_s: when a rejected or quarantined version may be tried again; None: never by
            itself.
        load_s: how long reading and checking took.
        ready_at_s: since when it is ready.
        num_failures: attempts to admit it that failed in a row, for no fault of its own.
        num_quarantines: since it last answered well.
        in_flight: requests, copies and checks that use it now.
        is_leaving: it is out of the catalog and goes when nobody uses it.
        is_admitted: the engine counts it among those that batches have room for.
        is_pinned: the engine keeps its weights for good.
        is_being_pinned: somebody sees to it that they are kept, and that its plan says so.
        has_served: it had a share of the traffic, or copies of it.
        is_superseded: it had a share and has none now; its weights go when nobody uses it.
        is_tripped: its rollback was asked for.
    """

    __slots__ = (
        "has_served",
        "in_flight",
        "is_admitted",
        "is_being_pinned",
        "is_leaving",
        "is_pinned",
        "is_superseded",
        "is_tripped",
        "last_error",
        "load_s",
        "num_failures",
        "num_quarantines",
        "outline",
        "plan",
        "prepared",
        "ready_at_s",
        "reasons",
        "retry_at_s",
        "state",
        "task",
        "traffic",
    )

    def __init__(
        self,
        task: str,
        plan: VersionPlan,
        rule: RollbackRule | None = None,
        outline: Outline | None = None,
    ) -> None:
        self.task = task
        self.plan = plan
        self.outline = outline or Outline()
        self.traffic = Traffic(rule)
        self.state = State.PENDING
        self.prepared: TaskVersion | None = None
        self.reasons: tuple[Note, ...] = ()
        self.last_error: str | None = None
        self.retry_at_s: float | None = None
        self.load_s: float | None = None
        self.ready_at_s = 0.0
        self.num_failures = self.num_quarantines = self.in_flight = 0
        self.is_leaving = self.is_admitted = self.is_pinned = self.is_being_pinned = False
        self.has_served = self.is_superseded = self.is_tripped = False

    @property
    def id(self) -> str | None:
        """As given, else of the digest; None before the files are read."""
        if self.plan.id is not None:
            return self.plan.id
        if self.prepared is not None:
            return self.prepared.id
        # What cannot be read has a page of its own all the same, with the reasons.
        return self.plan.key[:_ID_DIGITS] if self.state is State.REJECTED else None

    @property
    def origin(self) -> str:
        """Who has to answer before it can be read; nobody else where its files lie here."""
        return HERE if self.outline.is_here else origin_of(self.plan.spec)

    @property
    def digest(self) -> str | None:
        """Of the entry and its files; None before they are read."""
        return self.prepared.digest if self.prepared else self.plan.digest

    @property
    def is_ready(self) -> bool:
        """Whether it answers now."""
        return self.state is State.READY

    def may_become_ready(self, now_s: float) -> bool:
        """Whether trying to admit it now makes sense."""
        if self.state in (State.REJECTED, State.QUARANTINED):
            return self.retry_at_s is not None and now_s >= self.retry_at_s
        return self.state in HOPEFUL

    def weight(self, has_weights: bool) -> float:
        """Its share against the others'; where nobody has a weight, that is not the rule."""
        return (self.plan.weight or 0.0) if has_weights and not self.plan.shadow else 0.0
