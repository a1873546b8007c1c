"""The whole contract between an engine and what drives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from adapter_runtime.reports import EngineStats, Outline, Report
from adapter_runtime.types import (
    Arrays,
    Encoded,
    Note,
    Residency,
    RunResult,
    TaskSpec,
    TaskVersion,
    WorkItem,
)

Run = Callable[[Sequence[WorkItem]], Sequence[Arrays | Exception]]
"""Runs rows and gives one outcome for each, in order; blocks."""
Encode = Callable[[TaskVersion, Any, Mapping[str, Any]], Encoded]
"""Makes one request's rows; raises InvalidInput."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine runs on; the last two change as wide or pinned tasks come and go.

    Args:
        backbone, model_type, device, dtype: names.
        max_row_tokens: of one row.
        max_batch_adapters: distinct adapters in one batch.
        num_lanes: calls of `run` that may go on side by side; each then uses its share of the
            machine. One per core on CPU, one on CUDA.
    """

    backbone: str
    model_type: str
    device: str
    dtype: str
    max_row_tokens: int
    max_batch_adapters: int
    num_lanes: int = 1


class Engine(Protocol):
    """Owner of the device. Only `run` computes on it; all calls may come from any thread."""

    info: EngineInfo

    def inspect(self, spec: TaskSpec) -> Report:
        """The doctor's report on a task's files; a bad checkpoint is a report, no error. Blocks.

        Raises:
            SourceError: there are no such files at all.
        """
        ...

    def outline(self, spec: TaskSpec) -> Outline:
        """What a task's configs say before anything is fetched or any weight is read. Blocks.

        Raises:
            SourceError: a local folder is not there.
            RejectedAdapter: the configs alone show that the task cannot serve.
        """
        ...

    def prepare(self, spec: TaskSpec) -> TaskVersion:
        """Read, check and admit in one; a pinned task's weights are held for good. Blocks.

        Raises:
            SourceError: the files cannot be read.
            RejectedAdapter: the checkpoint failed a check; every reason is listed.
        """
        ...

    def read(self, spec: TaskSpec) -> TaskVersion:
        """Read a task's files into host memory and name its immutable version. Blocks.

        Every version that was read is retired one day; until then the engine can bring its weights
        back. A Source without a revision is pinned to the one found now.

        Raises:
            SourceError: the files cannot be read.
            RejectedAdapter: they are not sound; every reason is listed, and nothing is kept.
        """
        ...

    def check(self, version: TaskVersion, run: Run | None = None) -> tuple[Note, ...]:
        """Why a version that was read may not serve: a probe forward and its examples. Blocks.

        Args:
            version: was read.
            run: how to run the rows; the engine's own way by default.

        Raises:
            RejectedAdapter: there is no room for it on this machine, as it is set up now; no
                verdict to remember.
            Exception: it could not be tried now, for want of room or of its files; this says
                nothing of the version. What `run` gave is raised as it is.
        """
        ...

    def admit(self, version: TaskVersion) -> None:
        """Count a version among those that batches must have room for; a second time is nothing.

        Raises:
            RejectedAdapter: there could never be room for it.
        """
        ...

    def retire(self, version: TaskVersion) -> None:
        """Forget a version: its room, its pin, and the weights that no other version uses.

        The caller sees to it that no batch has it any more.
        """
        ...

    def pin(self, version: TaskVersion) -> None:
        """Keep an admitted version's weights in host memory and on the device for good. Blocks.

        Raises:
            SourceError, RejectedAdapter: as `read`; `no_room_beside_pins` among the reasons.
            CapacityError: no room beside the batches of now.
        """
        ...

    def unpin(self, version: TaskVersion) -> None:
        """End a pin; the weights stay until their room is needed."""
        ...

    def load(self, version: TaskVersion) -> None:
        """Bring a version's evicted weights back to host memory. Blocks; single-flight.

        Raises:
            SourceError, RejectedAdapter: as `read`.
        """
        ...

    def hold(self, version: TaskVersion) -> None:
        """Bring a version's weights onto the device and keep them there until released. Blocks.

        Runs beside batches without delaying them. Holds count: each needs its own `release`.

        Raises:
            SourceError, RejectedAdapter: as `read`.
            CapacityError: everything that could make room is in use; try again after a batch.
        """
        ...

    def release(self, version: TaskVersion) -> None:
        """Give back one hold."""
        ...

    def evict(self, version: TaskVersion) -> None:
        """Take the version's weights out of memory, save what is pinned or in use."""
        ...

    def identity(self) -> str:
        """A digest of all that a verdict depends on beside the version. May block the first time.

        That is the backbone's files, the dtype, the kind of device and the software's release.
        """
        ...

    def residency(self, version: TaskVersion) -> Residency:
        """Where the version's weights are now."""
        ...

    def encode(self, version: TaskVersion, inputs: Any, parameters: Mapping[str, Any]) -> Encoded:
        """One request's rows.

        Raises:
            InvalidInput: inputs or parameters are wrong; names the field.
        """
        ...

    def encoder(self) -> Encode:
        """As `encode`, but what several versions are asked about is read once.

        For one thread and a few inputs.
        """
        ...

    def run(self, items: Sequence[WorkItem], lanes: int | None = None) -> RunResult:
        """One batch over rows of any tasks; one outcome per item, never raises for a bad row.

        Args:
            items: the rows.
            lanes: how many lanes to spread the batch over; all of them by default.
        """
        ...

    def decode(self, version: TaskVersion, encoded: Encoded, outcomes: Sequence[Arrays]) -> Any:
        """The typed answer of one request from its rows' outcomes."""
        ...

    def raw(
        self, version: TaskVersion, encoded: Encoded, outcomes: Sequence[Arrays]
    ) -> dict[str, Any]:
        """What the head computed before decoding, as the `--raw` members."""
        ...

    def stats(self) -> EngineStats:
        """What is resident now."""
        ...

    def close(self) -> None:
        """Release threads and device memory."""
        ...
