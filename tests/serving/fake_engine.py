"""An Engine without torch: deterministic, slow or failing on command."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from adapter_runtime import (
    Arrays,
    CapacityError,
    Encoded,
    EngineConfig,
    EngineStats,
    HeadSpec,
    InvalidInput,
    Kind,
    Note,
    Outline,
    RejectedAdapter,
    Report,
    Residency,
    Row,
    RowFailed,
    Run,
    RunResult,
    RunStats,
    SourceError,
    TaskSpec,
    TaskVersion,
    VersionFailed,
    WorkItem,
    leaves,
)
from adapter_runtime.engine.protocol import Encode, EngineInfo


@dataclass
class FakeEngine:
    """Each word is a token; the answer counts the words of its own row.

    A Source that ends in `@2` makes version `v2` of its task, with a digest of its own.

    Args:
        run_s: how long each forward takes.
        load_s: how long each load takes.
        cold: tasks whose weights are absent until loaded.
        fails: raised by `run` as a whole when set.
        max_resident: versions on the device at once; the least recently used of those that are not
            held make room. No limit by default.
        guilty: digests of versions whose rows fail by their own fault.
        reading: what `read` waits for when set.
        fails_to_read: raised by `read` when set.
        fails_to_check: raised by `check` when set.
    """

    run_s: float = 0.0
    load_s: float = 0.0
    cold: set[str] = field(default_factory=set)
    load_fails: bool = False
    fails: Exception | None = None
    gate: threading.Event | None = None
    batches: list[list[WorkItem]] = field(default_factory=list)
    info: EngineInfo = field(
        default_factory=lambda: EngineInfo("fake", "bert", "cpu", "float32", 512, 64)
    )
    is_closed: bool = False
    read_s: float = 0.0
    calls: list[tuple[str, str]] = field(default_factory=list)
    holds: Counter[str] = field(default_factory=Counter)
    pins: Counter[str] = field(default_factory=Counter)
    max_resident: int | None = None
    resident: OrderedDict[str, None] = field(default_factory=OrderedDict)
    placing: threading.RLock = field(default_factory=threading.RLock)
    guilty: set[str] = field(default_factory=set)
    reading: threading.Event | None = None
    fails_to_read: Exception | None = None
    fails_to_check: Exception | None = None
    uses: Counter[str] = field(default_factory=Counter)
    strays: list[str] = field(default_factory=list)

    def inspect(self, spec: TaskSpec) -> Report:
        """Accepts every name but `broken`."""
        source = next((leaf.ref for leaf in leaves(spec.adapter)), spec.head or "")
        if "broken" in source:
            return Report(False, (Note("missing_tensor", "x is missing."),))
        return Report(True, warnings=(Note("old", "An old file."),), facts={"format": "adapterhub"})

    def prepare(self, spec: TaskSpec) -> TaskVersion:
        """A version whose labels are no and yes; sources with `broken` are rejected."""
        source = next((leaf.ref for leaf in leaves(spec.adapter)), "")
        if "broken" in source:
            raise RejectedAdapter(source, [Note("missing_tensor", "x is missing.")])
        if "absent" in source:
            raise SourceError(f"{source}: no such folder.")
        if "crash" in source:
            raise ZeroDivisionError("surprise")
        kind = spec.kind or Kind.TEXT_CLASSIFICATION
        mark = source.partition("@")[2]
        name = f"{spec.name}-{mark}" if mark else spec.name
        id, digest = f"v{mark or 1}", f"digest-{name}"
        head = HeadSpec("linear", (), spec.labels or ("no", "yes"), digest=name)
        return TaskVersion(spec.name, id, digest, kind, head, spec.adapter, spec.limits, spec)

    def outline(self, spec: TaskSpec) -> Outline:
        """Sources with `unheard` are known to be bad from their configs."""
        source = next((leaf.ref for leaf in leaves(spec.adapter)), "")
        if "unheard" in source:
            raise SourceError(f"{source}: no such folder.")
        return Outline(spec.kind or Kind.TEXT_CLASSIFICATION, spec.labels or ("no", "yes"))

    def read(self, spec: TaskSpec) -> TaskVersion:
        """As `prepare`; takes `read_s` and counts."""
        time.sleep(self.read_s)
        self.calls.append(("read", spec.name))
        if self.reading is not None:
            assert self.reading.wait(30)
        if self.fails_to_read is not None:
            raise self.fails_to_read
        version = self.prepare(spec)
        self.uses[version.digest] += 1
        return version

    def check(self, version: TaskVersion, run: Run | None = None) -> tuple[Note, ...]:
        """Sources with `wrong` fail an example; runs one row by `run` if given."""
        self.calls.append(("check", version.task))
        if self.fails_to_check is not None:
            raise self.fails_to_check
        outcomes = run([WorkItem(version, Row((1, 2)))]) if run is not None else ()
        if version.digest in self.guilty or any(isinstance(one, Exception) for one in outcomes):
            return (Note("probe_failed", "It gives no finite numbers."),)
        source = next((leaf.ref for leaf in leaves(version.spec.adapter)), "")
        return (Note("example_failed", "examples[0]: other."),) if "wrong" in source else ()

    def admit(self, version: TaskVersion) -> None:
        """Sources with `wide` find no room."""
        source = next((leaf.ref for leaf in leaves(version.spec.adapter)), "")
        if "wide" in source:
            raise RejectedAdapter(version.task, [Note("too_wide", "It is too wide.")])

    def retire(self, version: TaskVersion) -> None:
        """Remembers it; each was read before."""
        self.calls.append(("retire", version.digest))
        self.uses[version.digest] -= 1

    def pin(self, version: TaskVersion) -> None:
        """Remembers it."""
        self.calls.append(("pin", version.digest))

    def unpin(self, version: TaskVersion) -> None:
        """Remembers it."""
        self.calls.append(("unpin", version.digest))

    def hold(self, version: TaskVersion) -> None:
        """As `load`; counts holds."""
        self.load(version)
        with self.placing:
            if not self.place(version, self.holds):
                raise CapacityError("All places are held.")

    def release(self, version: TaskVersion) -> None:
        """Counts down."""
        with self.placing:
            self.holds[version.digest] -= 1
            assert self.holds[version.digest] >= 0

    def place(self, version: TaskVersion, book: Counter[str]) -> bool:
        """Put a version on the device, as the last that makes room; False where all are held."""
        most = self.max_resident or len(self.resident) + 1
        if version.digest not in self.resident and len(self.resident) >= most:
            free = next((key for key in self.resident if not (self.holds + self.pins)[key]), None)
            if free is None:
                return False
            del self.resident[free]
        self.resident[version.digest] = None
        self.resident.move_to_end(version.digest)
        book[version.digest] += 1
        return True

    def evict(self, version: TaskVersion) -> None:
        """The task is cold from now on."""
        self.calls.append(("evict", version.digest))
        self.cold.add(version.digest if "@" in _source(version.spec) else version.task)

    def identity(self) -> str:
        """Always the same."""
        return "fake-identity"

    def load(self, version: TaskVersion) -> None:
        """Takes `load_s`, then the task is warm."""
        time.sleep(self.load_s)
        if self.load_fails:
            raise SourceError(f"{version.task}: its files are gone.")
        self.cold -= {version.task, version.digest}

    def residency(self, version: TaskVersion) -> Residency:
        """Absent for cold tasks; in host memory where it has lost its place on the device."""
        if self.max_resident is not None and version.digest not in self.resident:
            return (
                Residency.ABSENT if self.cold & {version.task, version.digest} else Residency.HOST
            )
        return Residency.ABSENT if self.cold & {version.task, version.digest} else Residency.DEVICE

    def encode(self, version: TaskVersion, inputs: Any, parameters: Mapping[str, Any]) -> Encoded:
        """One row per line of the text."""
        for name in parameters:
            if name not in ("top_k", "normalize"):
                raise InvalidInput("unknown parameter.", f"parameters.{name}")
        text = inputs if isinstance(inputs, str) else str(inputs.get("context", ""))
        if not text.strip():
            raise InvalidInput("the text is empty.")
        rows = tuple(Row(tuple(range(len(line.split())))) for line in text.split("\n"))
        return Encoded(rows, context=text, parameters=parameters, truncated="long" in text)

    def encoder(self) -> Encode:
        """Counts what is read together."""
        self.calls.append(("encoder", ""))
        return self.encode

    def run(self, items: Sequence[WorkItem], lanes: int | None = None) -> RunResult:
        """The number of tokens of each row; a row of 13 tokens fails alone."""
        self.batches.append(list(items))
        versions = {item.version.digest: item.version for item in items}
        with self.placing:
            placed = {
                digest for digest, version in versions.items() if self.place(version, self.pins)
            }
        try:
            return self.forward(items, placed)
        finally:
            with self.placing:
                self.pins.subtract(placed)

    def forward(self, items: Sequence[WorkItem], placed: Set[str]) -> RunResult:
        """The outcomes; versions that found no place on the device have none."""
        if self.gate is not None:
            assert self.gate.wait(30)
        time.sleep(self.run_s)
        if self.fails is not None:
            raise self.fails
        tasks = {item.version.task for item in items}
        tokens = sum(len(item.row.input_ids) for item in items)
        stats = RunStats(len(items), tokens, len(tasks), 3, max(self.run_s, 1e-4))
        outcomes = (
            self.outcome(item)
            if item.version.digest in placed
            else CapacityError("All places are held.")
            for item in items
        )
        return RunResult(tuple(outcomes), stats)

    def outcome(self, item: WorkItem) -> Any:
        """One row's count; rows of versions that were retired are strays."""
        version, count = item.version, len(item.row.input_ids)
        if version.digest in self.uses and self.uses[version.digest] < 1:
            self.strays.append(version.digest)
        if version.digest in self.guilty:
            return VersionFailed(f"{version.task} gives no finite numbers.")
        return RowFailed("13 brings bad luck.") if count == 13 else {"count": count}

    def decode(self, version: TaskVersion, encoded: Encoded, outcomes: Sequence[Arrays]) -> Any:
        """Label, words per row; a vector for embeddings."""
        counts: list[Any] = [outcome["count"] for outcome in outcomes]
        if version.kind is Kind.FEATURE_EXTRACTION:
            return [float(count) for count in counts]
        if version.kind is Kind.QUESTION_ANSWERING:
            return {"answer": encoded.context, "score": 1.0, "start": 0, "end": counts[0]}
        label = version.digest.removeprefix("digest-")
        return [{"label": label, "score": float(sum(counts))}]

    def raw(
        self, version: TaskVersion, encoded: Encoded, outcomes: Sequence[Arrays]
    ) -> dict[str, Any]:
        """The counts."""
        return {"logits": [outcome["count"] for outcome in outcomes]}

    def stats(self) -> EngineStats:
        """Some numbers."""
        return EngineStats(2, 2000, 3, 3000, 10)

    def close(self) -> None:
        """Remembers it."""
        self.is_closed = True


def _source(spec: TaskSpec) -> str:
    return next((leaf.ref for leaf in leaves(spec.adapter)), "")


def open_fake(backbone: str, config: EngineConfig) -> FakeEngine:
    """Opens like `open_engine`; a backbone called `absent` is not there."""
    if backbone.endswith("absent"):
        raise SourceError(f"{backbone}: no such folder.")
    return FakeEngine()
