"""The seam between protocols and what answers: plain values in, plain values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from adapter_runtime import Kind, Residency, Timing
from serving.recent import Batch
from serving.views import TaskView


@dataclass(frozen=True, slots=True)
class Call:
    """One request for one task, as every protocol states it; picklable.

    Args:
        task: the task's name.
        items: the inputs, each answered on its own, in order.
        parameters: the head's parameters, for all items.
        request_id: for logs.
        deadline_s: time to answer, in seconds from now.
        is_list: whether the client sent a list; says how errors name an item.
        waits: whether to wait for weights that are not in memory.
        version: id of the version that is to answer; None leaves it to the task.
        caller: who asks, by the name of their key; empty where nobody needs one.
        priority: of the caller's choice: 1 before 0 before -1.
        weight: the caller's share where callers wait for each other.
        trace_id: of its trace, for logs; empty where nobody traces.
        group: Calls of one group that come at once are read once and run together, where they
            have something in common; empty for a Call by itself.
    """

    task: str
    items: Sequence[Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    request_id: str = ""
    deadline_s: float = 30.0
    is_list: bool = False
    waits: bool = True
    version: str | None = None
    caller: str = ""
    priority: int = 0
    weight: float = 1.0
    trace_id: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Course:
    """When a Call's slowest item was where, in seconds of Unix time; picklable.

    Args:
        began_s: its encoding began.
        queued_s: its rows were ready to run.
        loaded_s: the weights that it waited for had come in; 0 where it waited for none.
        ended_s: its answer was decoded.
        admission_s: seconds that the Call had waited for its version to be read and checked.
        batches: the forwards that its Call took part in.
    """

    began_s: float
    queued_s: float
    loaded_s: float
    ended_s: float
    admission_s: float = 0.0
    batches: tuple[Batch, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a Call gets: one output per item, and how it came about; picklable.

    Args:
        outputs: typed answers, one per item.
        kind: what the task answers.
        version: id of the version that answered.
        residency: where the weights were when the request came.
        timing: of the slowest item.
        batch_tokens, batch_tasks: of the last forward that took part.
        truncated: whether any input was cut.
        num_tokens: tokens that its rows have, special ones included.
        course: when what happened; None where nobody knows.
    """

    outputs: tuple[Any, ...]
    kind: Kind
    version: str
    residency: Residency
    timing: Timing
    batch_tokens: int = 0
    batch_tasks: int = 0
    truncated: bool = False
    num_tokens: int = 0
    course: Course | None = None


class LifeCycle(Protocol):
    """Changes tasks while traffic flows; each coroutine raises PolyheadErrors only."""

    async def put(self, name: str, entry: Mapping[str, Any], expected: str | None = None) -> bool:
        """Make a task, or give it a new version; says whether the task was made.

        Args:
            name: of the task.
            entry: a task file entry; with `versions:` it replaces the whole task.
            expected: as `CatalogStore.change`.

        Raises:
            CatalogReadOnly, VersionConflict: it cannot be changed, or not so.
            InvalidInput: the entry is broken; says where.
        """
        ...

    async def delete(
        self, name: str, version: str | None = None, expected: str | None = None
    ) -> None:
        """Retire a version, or all of a task; requests inside are still answered.

        Raises:
            CatalogReadOnly, VersionConflict, UnknownTask, UnknownVersion: it cannot be done.
        """
        ...

    async def act(self, name: str, version: str, action: str, expected: str | None = None) -> None:
        """Promote, roll back, pin, unpin, preload or evict a version.

        Args:
            name, version: which one.
            action: one of `ACTIONS`.
            expected: as `CatalogStore.change`.

        Raises:
            CatalogReadOnly, VersionConflict, UnknownTask, UnknownVersion, VersionRetired: as above.
            RejectedAdapter, SourceError: it is preloaded, promoted or pinned and cannot serve.
        """
        ...

    async def set_traffic(
        self,
        name: str,
        weights: Mapping[str, float] | None,
        shadow: Sequence[str],
        expected: str | None = None,
    ) -> None:
        """Share a task's traffic out.

        Args:
            name: of the task.
            weights: by version id; None leaves all to the newest ready one.
            shadow: ids of the versions that get copies.
            expected: as `CatalogStore.change`.

        Raises:
            InvalidInput: a weight is negative or not finite, or all are 0.
            CatalogReadOnly, VersionConflict, UnknownTask, UnknownVersion: as above.
        """
        ...


ACTIONS = ("promote", "rollback", "pin", "unpin", "preload", "evict")


class Service(Protocol):
    """Answers Calls; protocols know nothing else."""

    async def answer(self, call: Call) -> Answer:
        """Answer one Call.

        Raises:
            PolyheadError: the Call cannot be answered; `serving.errors` says with which status.
        """
        ...

    @property
    def life_cycle(self) -> LifeCycle:
        """Changes its tasks."""
        ...

    async def tasks(self) -> Sequence[TaskView]:
        """All tasks, ready or not."""
        ...

    async def task(self, name: str) -> TaskView:
        """One task.

        Raises:
            UnknownTask: there is none of that name.
        """
        ...

    @property
    def is_draining(self) -> bool:
        """Whether new Calls are refused."""
        ...

    @property
    def is_warm(self) -> bool:
        """Whether what was to be loaded at start has been, or has failed."""
        ...

    @property
    def num_inside(self) -> int:
        """Calls admitted and not yet answered."""
        ...

    async def check(self) -> None:
        """Return if the device computes: something has just run, or a row of the backbone does now.

        Raises:
            DeviceFailed: it raises, or hangs.
        """
        ...

    async def start(self) -> None:
        """Get ready to answer on the running event loop."""
        ...

    def drain(self) -> None:
        """Refuse everything new from now on; what is inside goes on."""
        ...

    def stop(self) -> None:
        """Answer what is inside, then end. Blocks."""
        ...

    async def batches(self, last: int) -> Sequence[Batch]:
        """The last batches that ran, the newest first.

        Args:
            last: how many at most.
        """
        ...

    def measure(self) -> None:
        """Set the gauges to what is true now. Any thread."""
        ...
