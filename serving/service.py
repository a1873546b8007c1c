"""The seam between protocols and what answers: plain values in, plain values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from adapter_runtime import Kind, Residency, Timing


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
    """

    task: str
    items: Sequence[Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    request_id: str = ""
    deadline_s: float = 30.0
    is_list: bool = False
    waits: bool = True


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
    """

    outputs: tuple[Any, ...]
    kind: Kind
    version: str
    residency: Residency
    timing: Timing
    batch_tokens: int = 0
    batch_tasks: int = 0
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class TaskView:
    """What a client may know about a task."""

    name: str
    state: str
    kind: str | None = None
    labels: tuple[str, ...] = ()
    version: str | None = None
    digest: str | None = None
    residency: str | None = None
    max_tokens: int | None = None
    overflow: str | None = None
    reason: str | None = None


class Service(Protocol):
    """Answers Calls; protocols know nothing else."""

    async def answer(self, call: Call) -> Answer:
        """Answer one Call.

        Raises:
            PolyheadError: the Call cannot be answered; `serving.errors` says with which status.
        """
        ...

    def tasks(self) -> Sequence[TaskView]:
        """All tasks, ready or not."""
        ...

    def task(self, name: str) -> TaskView:
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
    def num_inside(self) -> int:
        """Calls admitted and not yet answered."""
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

    def measure(self) -> None:
        """Set the gauges to what is true now."""
        ...
