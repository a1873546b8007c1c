"""One batch from work items to outcomes: weights pinned, rows checked, failures kept apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Sequence

from adapter_runtime.engine.answering import Answering
from adapter_runtime.engine.extend import extend
from adapter_runtime.engine.forward import BatchReport, BatchRunner
from adapter_runtime.engine.lease import Lease
from adapter_runtime.engine.library import Library
from adapter_runtime.engine.pack import Job
from adapter_runtime.engine.states import StreamStates
from adapter_runtime.errors import InvalidInput, PolyheadError
from adapter_runtime.residency.slots import HeadPool, SlotPool
from adapter_runtime.types import RunResult, RunStats, WorkItem


class Compute:
    """Runs batches; several callers may run theirs side by side.

    Args:
        runner: forwards on the backbone.
        library: where weights come from that are not on the device yet.
        slots, heads: the device's pools.
    """

    def __init__(
        self, runner: BatchRunner, library: Library, slots: SlotPool, heads: HeadPool
    ) -> None:
        self.runner, self.backbone = runner, runner.backbone
        self.library, self.slots, self.heads = library, slots, heads
        has_types, config = self.backbone.architecture.has_types, self.backbone.facts.config
        self._num_types: int = config.get("type_vocab_size") or 0 if has_types else 0

    def run(self, items: Sequence[WorkItem], lanes: int | None = None) -> RunResult:
        """One batch; one outcome per item, never raises for a bad row.

        Args:
            items: the rows.
            lanes: how many lanes to spread the batch over; all of them by default.
        """
        started_s = time.perf_counter()
        with Lease(self.library, self.slots, self.heads) as lease:
            answering = Answering(items, lease.head_weights)
            ready = self._pin(items, lease, answering)
            report = self._forward(ready, answering, lanes)
        stats = RunStats(
            num_rows=len(ready),
            num_tokens=report.num_tokens,
            num_tasks=len({items[number].version.task for number in ready}),
            num_padding_avoided=report.num_padding_avoided,
            compute_s=time.perf_counter() - started_s - lease.load_s,
            load_s=lease.load_s,
            num_distinct=report.num_rows,
        )
        return RunResult(answering.result(), stats)

    def _pin(self, items: Sequence[WorkItem], lease: Lease, answering: Answering) -> list[int]:
        """The numbers of the items whose weights are on the device now; the others fail."""
        ready = []
        for number, item in enumerate(items):
            error = self._misfit(item) or lease.pin(item.version)
            if error is None:
                ready.append(number)
            else:
                answering.fail([number], error)
        return ready

    def _misfit(self, item: WorkItem) -> PolyheadError | None:
        """Why a row cannot go through the backbone; one such row would fail its whole stream."""
        ids, extension = item.row.input_ids, item.version.extension
        most = self.backbone.max_tokens - (extension.num_positions if extension else 0)
        if not 0 < len(ids) <= most:
            return InvalidInput(f"a row has 1 to {most} tokens.", "input_ids")
        if max(ids) >= self.backbone.facts.vocab_size or min(ids) < 0:
            return InvalidInput("a token has no embedding in this backbone.", "input_ids")
        types, count = item.row.type_ids, self._num_types
        if types and count and not 0 <= min(types) <= max(types) < count:
            return InvalidInput(f"token types are 0 to {count - 1} here.", "token_type_ids")
        return None

    def _forward(
        self, numbers: Sequence[int], answering: Answering, lanes: int | None
    ) -> BatchReport:
        """Run items, and those whose stream failed once more, in smaller company."""
        report = self._run(numbers, answering, lanes)
        items = answering.items

        def errors_of(group: Sequence[int]) -> dict[int, Exception]:
            errors = self._run(group, answering, lanes).errors
            return {group[job]: error for job, error in errors.items()}

        failed = [numbers[job] for job in report.errors]
        for group in _grouped(failed, lambda number: items[number].version.composition):
            errors = errors_of(group)
            versions = _grouped(errors, lambda number: items[number].version.digest)
            if len(versions) > 1:  # One of them may be to blame for all.
                errors = {key: error for each in versions for key, error in errors_of(each).items()}
            for number, error in errors.items():
                answering.fail([number], error)
        return report

    def _run(self, numbers: Sequence[int], answering: Answering, lanes: int | None) -> BatchReport:
        items = [answering.items[number] for number in numbers]
        jobs = [
            Job(
                extend(item.row, item.version.extension, self.backbone.skipped_token),
                item.version.composition,
            )
            for item in items
        ]

        def finish(indices: Sequence[int], states: StreamStates) -> None:
            answering.finish([numbers[index] for index in indices], states)

        return self.runner.run(jobs, finish, lanes)


def _grouped(numbers: Iterable[int], key: Callable[[int], Hashable]) -> list[list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for number in numbers:
        groups.setdefault(key(number), []).append(number)
    return list(groups.values())
