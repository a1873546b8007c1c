"""The engine: owner of the device, from task files to outcomes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from adapter_runtime.backbone.backbone import Backbone
from adapter_runtime.backbone.tokenizer_once import ReadingOnce
from adapter_runtime.config import EngineConfig
from adapter_runtime.engine.admission import admission_problems
from adapter_runtime.engine.answering import blaming
from adapter_runtime.engine.compute import Compute
from adapter_runtime.engine.doctor import Doctor
from adapter_runtime.engine.encoding import encode_by
from adapter_runtime.engine.forward import BatchRunner
from adapter_runtime.engine.holdings import Holdings
from adapter_runtime.engine.identity import engine_identity
from adapter_runtime.engine.library import Library
from adapter_runtime.engine.outline import outline
from adapter_runtime.engine.protocol import Encode, EngineInfo, Run
from adapter_runtime.engine.reading import steadily
from adapter_runtime.engine.versions import read_version, with_sources
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.heads.table import HEADS
from adapter_runtime.memory import give_back
from adapter_runtime.methods.table import METHODS
from adapter_runtime.reports import EngineStats, Outline, Report
from adapter_runtime.residency.room import Need, Room
from adapter_runtime.residency.slots import HeadPool, SlotPool
from adapter_runtime.residency.store import AdapterStore
from adapter_runtime.sources.folder import Folder
from adapter_runtime.sources.resolve import at_hand, pin_revision
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


class LocalEngine:
    """Adapters, heads and forwards over one backbone in this process.

    Args:
        backbone: the loaded backbone; nothing else may use it.
        config: how to use the machine.
        open_folder: resolves a Source to its files.
        pin_revision: the Source of the commit that a hub's revision names now.
        at_hand: as `open_folder`, asking no network; None for what would have to be fetched.
    """

    def __init__(
        self,
        backbone: Backbone,
        config: EngineConfig,
        open_folder: Callable[[str], Folder],
        pin_revision: Callable[[str], str] = pin_revision,
        at_hand: Callable[[str], Folder | None] = at_hand,
    ) -> None:
        self.backbone = backbone
        self.library = Library(backbone.facts, AdapterStore(config.host_bytes), open_folder)
        device, dtype = backbone.device, backbone.dtype
        half = config.device_bytes // 2
        self.slots = SlotPool(METHODS, backbone.bases, device, dtype, config.max_slots, half)
        self.heads = HeadPool(device, half)
        self.room = Room(Need(config.max_slots, half, half, config.host_bytes))
        self.holdings = Holdings(self.library, self.slots, self.heads, self.room)
        self._pin_revision, self._at_hand = pin_revision, at_hand
        self._checking = threading.Lock()
        self._identity: str | None = None
        self.runner = BatchRunner(
            backbone, self.slots, config.streams, cuda_graphs=config.cuda_graphs
        )
        self.compute = Compute(self.runner, self.library, self.slots, self.heads)
        self.info = EngineInfo(
            backbone=backbone.facts.model_name,
            model_type=backbone.facts.model_type,
            device=str(device),
            dtype=backbone.precision,
            max_row_tokens=backbone.max_tokens,
            max_batch_adapters=config.max_slots,
        )
        self._share_slots()

    def _share_slots(self) -> None:
        """Batches side by side must each find room for what they pin."""
        free, widest = self.holdings.slots_to_share()
        lanes = max(1, min(self.runner.streams.num_threads, free // max(1, widest)))
        self.info = replace(self.info, max_batch_adapters=max(1, free // lanes), num_lanes=lanes)

    def inspect(self, spec: TaskSpec) -> Report:
        """The doctor's report on a task's files; a bad checkpoint is a report, no error. Blocks.

        Raises:
            SourceError: there are no such files at all.
        """
        return Doctor(self.backbone, self.holdings, self.check).examine(spec)

    def prepare(self, spec: TaskSpec) -> TaskVersion:
        """Read, check and admit in one; a pinned task's weights are held for good. Blocks.

        Raises:
            SourceError: the files cannot be read.
            RejectedAdapter: a check failed; every reason is listed.
            CapacityError: what must be pinned finds no room beside the batches of now.
        """
        version = self.read(spec)
        try:
            if problems := self.check(version):
                raise RejectedAdapter(spec.name, problems)
            self.admit(version)
            if spec.pinned:
                self.pin(version)
        except BaseException:
            self.retire(version)
            raise
        return version

    def read(self, spec: TaskSpec) -> TaskVersion:
        """Read a task's files into host memory and name its immutable version. Blocks.

        Its Sources are those of now: a revision of a hub becomes the commit that it names.

        Raises:
            SourceError: the files cannot be read, or change while they are read.
            RejectedAdapter: they are not sound; every reason is listed, and nothing is kept.
            OutOfMemory: the machine has too little for them.
        """
        spec = with_sources(spec, self._pin_revision)
        library = self.library
        version, uses = library.store.within_memory(
            lambda: steadily(library, lambda reading: read_version(spec, self.backbone, reading))
        )
        try:
            self.holdings.enter(version, uses)
        except BaseException:
            self.holdings.give_back(uses)
            raise
        return version

    def check(self, version: TaskVersion, run: Run | None = None) -> tuple[Note, ...]:
        """Why a version that was read may not serve: a probe forward and its examples. Blocks.

        Args:
            version: was read.
            run: how to run the rows; the engine's own way by default.

        Raises:
            RejectedAdapter: there is no room for it on this machine, as it is set up now.
            Exception: it could not be tried now, which says nothing of the version.
        """
        self.holdings.check_room(version, is_pinned=version.spec.pinned)
        problems = partial(admission_problems, version, self.backbone.facts, self)
        if run is not None:
            return tuple(problems(run))
        # One at a time: the examples of many tasks side by side would fight for slots.
        with self._checking:
            return tuple(problems(lambda items: self.run(items).outcomes))

    def admit(self, version: TaskVersion) -> None:
        """Count a version among those that batches must have room for; a second time is nothing.

        Raises:
            RejectedAdapter: there could never be room for it.
            SourceError: it was retired meanwhile.
        """
        self.holdings.admit(version)
        self._share_slots()

    def retire(self, version: TaskVersion) -> None:
        """Forget a version: its room, its pin, and the weights that no other version uses."""
        self.holdings.leave(version)
        self._share_slots()
        # Weights come in other sizes next time, so the allocator would keep what these leave.
        give_back()

    def pin(self, version: TaskVersion) -> None:
        """Keep an admitted version's weights in host memory and on the device for good. Blocks.

        Raises:
            SourceError, RejectedAdapter: as `read`; `no_room_beside_pins` among the reasons.
            CapacityError: no room beside the batches of now.
        """
        self.holdings.pin(version)
        self._share_slots()

    def unpin(self, version: TaskVersion) -> None:
        """End a pin; the weights stay until their room is needed."""
        self.holdings.unpin(version)
        self._share_slots()

    def load(self, version: TaskVersion) -> None:
        """Bring a version's evicted weights back to host memory. Blocks; single-flight.

        Raises:
            SourceError, RejectedAdapter: as `read`.
        """
        self.holdings.load(version)

    def hold(self, version: TaskVersion) -> None:
        """Bring a version's weights onto the device and keep them there until released. Blocks.

        Raises:
            SourceError, RejectedAdapter: as `read`.
            CapacityError: everything that could make room is in use; try again after a batch.
        """
        self.holdings.hold(version)

    def release(self, version: TaskVersion) -> None:
        """Give back one hold."""
        self.holdings.release(version)

    def evict(self, version: TaskVersion) -> None:
        """Take the version's weights out of memory, save what is pinned or in use."""
        self.holdings.evict(version)

    def residency(self, version: TaskVersion) -> Residency:
        """The coldest place of the version's weights."""
        return self.holdings.residency(version)

    def outline(self, spec: TaskSpec) -> Outline:
        """What a task's configs say before anything is fetched or any weight is read. Blocks.

        Raises:
            SourceError: a local folder is not there.
            RejectedAdapter: the configs alone show that the task cannot serve.
        """
        return outline(spec, self.backbone, self._at_hand)

    def identity(self) -> str:
        """A digest of all that a verdict depends on beside the version. May block the first time.

        That is the backbone's files, the dtype, the kind of device and the software's release.
        """
        if self._identity is None:
            self._identity = engine_identity(self.backbone)
        return self._identity

    def encode(self, version: TaskVersion, inputs: Any, parameters: Mapping[str, Any]) -> Encoded:
        """One request's rows.

        Raises:
            InvalidInput: inputs or parameters are wrong; names the field.
        """
        return encode_by(self.backbone.tokenizer, version, inputs, parameters)

    def encoder(self) -> Encode:
        """As `encode`, but it reads each text once; for one thread and a few inputs."""
        return partial(encode_by, ReadingOnce(self.backbone.tokenizer))

    def run(self, items: Sequence[WorkItem], lanes: int | None = None) -> RunResult:
        """One batch over rows of any tasks; one outcome per item, never raises for a bad row.

        Args:
            items: the rows.
            lanes: how many lanes to spread the batch over; all of them by default.
        """
        return self.compute.run(items, lanes)

    def decode(self, version: TaskVersion, encoded: Encoded, outcomes: Sequence[Arrays]) -> Any:
        """The typed answer of one request from its rows' outcomes."""
        with blaming(version.task):
            return HEADS[version.head.head_type].decode(version.head, encoded, outcomes)

    def raw(
        self, version: TaskVersion, encoded: Encoded, outcomes: Sequence[Arrays]
    ) -> dict[str, Any]:
        """What the head computed before decoding, as the `--raw` members."""
        with blaming(version.task):
            return HEADS[version.head.head_type].raw(version.head, encoded, outcomes)

    def stats(self) -> EngineStats:
        """What is resident now."""
        store = self.library.store
        return EngineStats(
            resident_adapters=len(self.slots),
            resident_bytes=self.slots.num_bytes + self.heads.num_bytes,
            shared_bytes=self.slots.shared_bytes + self.heads.shared_bytes,
            host_adapters=len(store),
            host_bytes=store.num_bytes,
            free_slots=self.slots.num_free,
            device_evictions=self.slots.num_evicted + self.heads.num_evicted,
            host_evictions=store.num_evicted,
            pinned=self.holdings.num_pinned,
            host_loads=store.num_loads,
            failed_loads=store.num_failed,
        )

    def close(self) -> None:
        """Release the compute threads."""
        self.runner.close()
