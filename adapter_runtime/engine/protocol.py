"""The whole contract between an engine and what drives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from adapter_runtime.reports import EngineStats, Report
from adapter_runtime.types import (
    Arrays,
    Encoded,
    Residency,
    RunResult,
    TaskSpec,
    TaskVersion,
    WorkItem,
)


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine runs on; the last two shrink as wide or pinned tasks are admitted.

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

    def prepare(self, spec: TaskSpec) -> TaskVersion:
        """Read and check a task's files into host memory and name its immutable version. Blocks.

        The task's examples are answered, and the weights of a pinned task are held for good.

        Raises:
            SourceError: the files cannot be read.
            RejectedAdapter: the checkpoint failed a check; every reason is listed.
        """
        ...

    def load(self, version: TaskVersion) -> None:
        """Bring a version's evicted weights back to host memory. Blocks; single-flight.

        Raises:
            SourceError, RejectedAdapter: as `prepare`.
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
