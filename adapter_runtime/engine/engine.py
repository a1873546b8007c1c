"""The engine: owner of the device, from task files to outcomes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from adapter_runtime.backbone.backbone import Backbone
from adapter_runtime.config import EngineConfig
from adapter_runtime.engine.admission import admission_problems
from adapter_runtime.engine.answering import Answering
from adapter_runtime.engine.doctor import examine
from adapter_runtime.engine.extend import extend
from adapter_runtime.engine.forward import BatchReport, BatchRunner
from adapter_runtime.engine.lease import Lease
from adapter_runtime.engine.library import Library
from adapter_runtime.engine.pack import Job
from adapter_runtime.engine.protocol import EngineInfo
from adapter_runtime.engine.states import StreamStates
from adapter_runtime.engine.versions import read_version
from adapter_runtime.errors import InvalidInput, PolyheadError, RejectedAdapter
from adapter_runtime.heads.table import HEADS
from adapter_runtime.methods.table import METHODS
from adapter_runtime.reports import EngineStats, Report
from adapter_runtime.residency.room import Need, Room
from adapter_runtime.residency.slots import HeadPool, SlotPool
from adapter_runtime.residency.store import AdapterStore
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import (
    Arrays,
    Composition,
    Encoded,
    Residency,
    RunResult,
    RunStats,
    TaskSpec,
    TaskVersion,
    WorkItem,
    leaves,
)


class LocalEngine:
    """Adapters, heads and forwards over one backbone in this process.

    Args:
        backbone: the loaded backbone; nothing else may use it.
        config: how to use the machine.
        open_folder: resolves a Source to its files.
    """

    def __init__(
        self, backbone: Backbone, config: EngineConfig, open_folder: Callable[[str], Folder]
    ) -> None:
        self.backbone = backbone
        self.library = Library(backbone.facts, AdapterStore(config.host_bytes), open_folder)
        device, dtype = backbone.device, backbone.dtype
        half = config.device_bytes // 2
        self.slots = SlotPool(METHODS, backbone.bases, device, dtype, config.max_slots, half)
        self.heads = HeadPool(device, dtype, half)
        self.room = Room(Need(config.max_slots, half, half, config.host_bytes))
        self._admitting = threading.Lock()
        self.runner = BatchRunner(backbone, self.slots, num_streams=config.streams)
        self.info = EngineInfo(
            backbone=backbone.facts.model_name,
            model_type=backbone.facts.model_type,
            device=str(device),
            dtype=str(dtype).removeprefix("torch."),
            max_row_tokens=backbone.max_tokens,
            max_batch_adapters=config.max_slots,
        )
        self._share_slots()

    def _share_slots(self) -> None:
        """Batches side by side must each find room for what they pin."""
        free, widest = self.room.free_slots, max(1, self.room.widest.slots)
        lanes = max(1, min(self.runner.streams.num_threads, free // widest))
        self.info = replace(self.info, max_batch_adapters=max(1, free // lanes), num_lanes=lanes)

    def inspect(self, spec: TaskSpec) -> Report:
        """The doctor's report on a task's files; a bad checkpoint is a report, no error. Blocks.

        Raises:
            SourceError: there are no such files at all.
        """
        return examine(spec, self)

    def prepare(self, spec: TaskSpec) -> TaskVersion:
        """Read and check a task's files into host memory and name its version. Blocks.

        The task's examples are answered, and the weights of a pinned task are held for good.

        Raises:
            SourceError: the files cannot be read.
            RejectedAdapter: a check failed; every reason is listed.
            CapacityError: what must be pinned finds no room beside the batches of now.
        """
        version = read_version(spec, self.backbone, self.library)
        # One at a time: the examples of many tasks side by side would fight for slots.
        with self._admitting:
            if problems := admission_problems(version, self):
                raise RejectedAdapter(spec.name, problems)
            if spec.pinned:
                self._pin_for_good(version)
            self.room.admit(self.needs(version), is_pinned=spec.pinned)
            self._share_slots()
        return version

    def needs(self, version: TaskVersion) -> Mapping[str, Need]:
        """What each of a version's weights takes, by digest. May block as `load`."""
        head = self.library.item(version.head.digest)
        found = {head.spec.digest: Need(0, 0, self.heads.bytes_of(head), head.num_bytes)}
        for leaf in leaves(version.composition):
            adapter = self.library.item(leaf.ref)
            found[leaf.ref] = Need(1, self.slots.bytes_of(adapter), 0, adapter.num_bytes)
        return found

    def _pin_for_good(self, version: TaskVersion) -> None:
        lease = Lease(self.library, self.slots, self.heads)
        error = lease.pin(version)
        if error is not None:
            lease.release()
            raise error
        for digest in _digests(version):
            self.library.keep(digest)

    def load(self, version: TaskVersion) -> None:
        """Bring a version's evicted weights back to host memory. Blocks; single-flight.

        Raises:
            SourceError, RejectedAdapter: as `prepare`.
        """
        for digest in _digests(version):
            self.library.item(digest)

    def residency(self, version: TaskVersion) -> Residency:
        """The coldest place of the version's weights."""
        places = {self._place(digest) for digest in _digests(version)}
        order = (Residency.FAILED, Residency.ABSENT, Residency.LOADING, Residency.HOST)
        return next((place for place in order if place in places), Residency.DEVICE)

    def _place(self, digest: str) -> Residency:
        if digest in self.slots or digest in self.heads:
            return Residency.DEVICE
        return self.library.store.residency(digest)

    def encode(self, version: TaskVersion, inputs: Any, parameters: Mapping[str, Any]) -> Encoded:
        """One request's rows.

        Raises:
            InvalidInput: inputs or parameters are wrong; names the field.
        """
        kind = HEADS[version.head.head_type]
        return kind.encode(
            version.head, inputs, parameters, self.backbone.tokenizer, version.limits
        )

    def run(self, items: Sequence[WorkItem], lanes: int | None = None) -> RunResult:
        """One batch over rows of any tasks; one outcome per item, never raises for a bad row.

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
        most = self.info.max_row_tokens - (extension.num_positions if extension else 0)
        if not 0 < len(ids) <= most:
            return InvalidInput(f"a row has 1 to {most} tokens.", "input_ids")
        if max(ids) >= self.backbone.facts.vocab_size or min(ids) < 0:
            return InvalidInput("a token has no embedding in this backbone.", "input_ids")
        return None

    def _forward(
        self, numbers: Sequence[int], answering: Answering, lanes: int | None
    ) -> BatchReport:
        """Run items, and those whose stream failed once more, each composition by itself."""
        report = self._run(numbers, answering, lanes)
        failed: dict[Composition | None, list[int]] = {}
        for job in report.errors:
            number = numbers[job]
            failed.setdefault(answering.items[number].version.composition, []).append(number)
        for group in failed.values():
            again = self._run(group, answering, lanes)
            for job, error in again.errors.items():
                answering.fail([group[job]], error)
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

    def decode(self, version: TaskVersion, encoded: Encoded, outcomes: Sequence[Arrays]) -> Any:
        """The typed answer of one request from its rows' outcomes."""
        return HEADS[version.head.head_type].decode(version.head, encoded, outcomes)

    def raw(
        self, version: TaskVersion, encoded: Encoded, outcomes: Sequence[Arrays]
    ) -> dict[str, Any]:
        """What the head computed before decoding, as the `--raw` members."""
        return HEADS[version.head.head_type].raw(version.head, encoded, outcomes)

    def stats(self) -> EngineStats:
        """What is resident now."""
        return EngineStats(
            resident_adapters=len(self.slots),
            resident_bytes=self.slots.num_bytes + self.heads.num_bytes,
            host_adapters=len(self.library.store),
            host_bytes=self.library.store.num_bytes,
            free_slots=self.slots.num_free,
        )

    def close(self) -> None:
        """Release the compute threads."""
        self.runner.close()


def _digests(version: TaskVersion) -> list[str]:
    return [*(leaf.ref for leaf in leaves(version.composition)), version.head.digest]
