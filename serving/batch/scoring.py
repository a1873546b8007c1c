"""A chunk of lines through the engine in large batches of similar lengths."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from adapter_runtime import (
    Engine,
    InvalidInput,
    Overflow,
    PolyheadError,
    RowFailed,
    TaskVersion,
)
from serving.batch.reading import Line, Record
from serving.errors import refusal
from serving.jobs import name_item
from serving.lifecycle.admitting.at_once import AtOnce
from serving.scheduler.entries import Entry, Pick
from serving.scheduler.loop import WARM

log = logging.getLogger(__name__)
_KNOWN = frozenset({"task", "inputs", "parameters"})
_RESULTS = frozenset({"outputs", "error", "truncated", "logits", "hidden"})


@dataclass(frozen=True, slots=True)
class Scorer:
    """Answers lines; one bad line never spoils another.

    Args:
        engine: runs the batches.
        tasks: admits the tasks that lines name.
        default_task: for lines that name none.
        raw: add what the heads computed before decoding.
        batch_tokens: largest batch.
    """

    engine: Engine
    tasks: AtOnce
    default_task: str | None = None
    raw: bool = False
    batch_tokens: int = 8192

    def score(self, records: Sequence[Record]) -> list[Line]:
        """One output line per record, in order. Blocks."""
        lines = [self._encode(record) for record in records]
        entries = [entry for line in lines for entry in line.entries]
        for picks in self._batches(entries):
            self._run(picks)
        return [self._output(line) for line in lines]

    def _encode(self, record: Record) -> _ScoredLine:
        if record.content is None:
            return _ScoredLine({}, None, error=InvalidInput(f"{record.reason}.", "line"))
        task = record.content.get("task", self.default_task)
        line = _ScoredLine(record.content, task)
        try:
            line.entries = self._entries(line)
        except PolyheadError as error:
            line.error = error
        except Exception as error:
            log.exception("A line for %s could not be encoded", task)
            line.error = error
        return line

    def _entries(self, line: _ScoredLine) -> list[Entry]:
        if not isinstance(line.task, str):
            raise InvalidInput(
                'is missing; write "task" into the line or give --task NAME.', "task"
            )
        if "inputs" not in line.content:
            raise InvalidInput("is missing.", "inputs")
        parameters = line.content.get("parameters") or {}
        if not isinstance(parameters, dict):
            raise InvalidInput("must be an object.", "parameters")
        version = self._version(line.task)
        return [
            self._entry(version, item, parameters, index if line.is_list else None)
            for index, item in enumerate(line.items)
        ]

    def _entry(
        self, version: TaskVersion, item: Any, parameters: Mapping[str, Any], index: int | None
    ) -> Entry:
        try:
            encoded = self.engine.encode(version, item, parameters)
        except InvalidInput as error:
            raise (error if index is None else name_item(error, index)) from error
        return Entry(version, encoded, 0.0, float("inf"), raw=self.raw)

    def _version(self, task: str) -> TaskVersion:
        """The task's version; raw arrays are of one row, so that raw never windows."""
        version = self.tasks.resolve(task)
        if self.raw and version.limits.overflow is not Overflow.REJECT:
            return replace(version, limits=replace(version.limits, overflow=Overflow.TRUNCATE))
        return version

    def _batches(self, entries: Sequence[Entry]) -> Iterator[list[Pick]]:
        """All rows, those of similar length together: padded backbones waste least so."""
        picks = [Pick(entry, row) for entry in entries for row in range(len(entry.outcomes))]
        picks.sort(key=_num_tokens)
        batch: list[Pick] = []
        tokens, adapters = 0, set[str]()
        for pick in picks:
            size, wider = _num_tokens(pick), adapters | pick.entry.adapters
            is_full = tokens + size > self.batch_tokens
            if batch and (is_full or len(wider) > self.engine.info.max_batch_adapters):
                yield batch
                batch, tokens, wider = [], 0, set(pick.entry.adapters)
            batch.append(pick)
            tokens, adapters = tokens + size, wider
        if batch:
            yield batch

    def _run(self, picks: Sequence[Pick]) -> None:
        ready = [pick for pick in picks if self._is_loaded(pick.entry)]
        if not ready:
            return
        try:
            outcomes: Sequence[Any] = self.engine.run([pick.work_item() for pick in ready]).outcomes
        except Exception as error:
            log.exception("A batch of %d rows failed as a whole", len(ready))
            outcomes = [RowFailed(f"The batch failed: {error}")] * len(ready)
        for pick, outcome in zip(ready, outcomes, strict=True):
            pick.entry.settle(pick.row, outcome)

    def _is_loaded(self, entry: Entry) -> bool:
        """Whether the entry can run; its weights are brought back first where they were evicted."""
        try:
            if entry.error is None and self.engine.residency(entry.version) not in WARM:
                self.engine.load(entry.version)
        except PolyheadError as error:
            entry.error = error
        return entry.error is None

    def _output(self, line: _ScoredLine) -> Line:
        kept = {
            name: value
            for name, value in line.content.items()
            if name not in _KNOWN and name not in _RESULTS
        }
        try:
            if line.error is not None:
                raise line.error
            members = self._members(line)
            if any(entry.encoded.truncated for entry in line.entries):
                members["truncated"] = True
            return {"task": line.task, **members, **kept}
        except Exception as error:
            refused = refusal(error)
            reason = {"code": refused.code, "message": refused.message}
            return {"task": line.task, "error": reason, **kept}

    def _members(self, line: _ScoredLine) -> dict[str, Any]:
        """`outputs`, and the raw members: lists of them where the inputs were a list."""
        found = [self._answer(entry) for entry in line.entries]
        if not line.is_list:
            return found[0]
        names = dict.fromkeys(name for members in found for name in members) or {"outputs": None}
        return {name: [members[name] for members in found] for name in names}

    def _answer(self, entry: Entry) -> dict[str, Any]:
        if entry.error is not None:
            raise entry.error
        outcomes = entry.answers()
        members = {"outputs": self.engine.decode(entry.version, entry.encoded, outcomes)}
        if self.raw:
            members |= self.engine.raw(entry.version, entry.encoded, outcomes)
        return members


@dataclass(slots=True)
class _ScoredLine:
    """A line on its way: its entries, or the error that it met."""

    content: Line
    task: Any
    entries: list[Entry] = field(default_factory=list)
    error: Exception | None = None

    @property
    def is_list(self) -> bool:
        return isinstance(self.content.get("inputs"), list)

    @property
    def items(self) -> list[Any]:
        inputs = self.content["inputs"]
        return inputs if isinstance(inputs, list) else [inputs]


def _num_tokens(pick: Pick) -> int:
    return len(pick.entry.encoded.rows[pick.row].input_ids)
