"""Whether a version that was read may serve: what is remembered, or a check."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

from adapter_runtime import (
    Arrays,
    Engine,
    InvalidInput,
    Note,
    RowFailed,
    Run,
    TaskVersion,
    WorkItem,
)
from serving.errors import DeadlineExceeded, Draining
from serving.lifecycle.admitting.verdicts import Verdicts
from serving.lifecycle.live.version import Version

CHECK_S = 120.0
"""A check runs beside the traffic and behind it, so it has patience."""

_VERDICTS = (InvalidInput, RowFailed)
"""What speaks against a version; others, such as a lack of room, say nothing of it."""

RunLow = Callable[[Sequence[WorkItem], float], Sequence[Arrays | Exception]]
"""Runs rows within so many seconds; one outcome for each."""


class Verdict(NamedTuple):
    """Why a version may not serve, and whether that was known without a check."""

    problems: tuple[Note, ...]
    is_known: bool = False


class Checker:
    """Checks versions, each content once.

    Args:
        engine: checks.
        verdicts: what earlier checks said.
        clock: monotonic seconds.

    Attributes:
        is_closed: the server stops, so that rows fail for no fault of their version.
    """

    def __init__(self, engine: Engine, verdicts: Verdicts, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._verdicts = verdicts
        self._clock = clock
        self.is_closed = False

    def judge(self, version: TaskVersion, run: RunLow | None, *, is_suspect: bool) -> Verdict:
        """Whether a version may serve. Blocks.

        Args:
            version: was read.
            run: how to run its rows; None: the engine's own way.
            is_suspect: it failed by itself, so that nothing known of it counts, nor what is found
                now: memory that was full says nothing of its content.

        Raises:
            PolyheadError: it could not be checked, for no fault of its own.
        """
        key = self._key(version)
        known = None if is_suspect else self._verdicts.find(key)
        if known is not None:
            return Verdict(known, is_known=True)
        found = self._engine.check(version, None if run is None else self._within(run))
        if found and self.is_closed:
            raise Draining("The server stopped before the check had ended.", 1.0)
        if not is_suspect:
            self._verdicts.keep(key, found)
        return Verdict(found)

    def _key(self, version: TaskVersion) -> str:
        """Of all that a verdict depends on."""
        spec = version.spec
        examples = [[each.inputs, each.expect] for each in spec.examples]
        text = json.dumps([version.digest, examples, self._engine.identity()], default=repr)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def _within(self, run: RunLow) -> Run:
        """Rows by `run` while there is time; what is not the version's fault ends the check."""
        until_s = self._clock() + CHECK_S

        def rows(items: Sequence[WorkItem]) -> Sequence[Arrays | Exception]:
            """Run rows for as long as the check may take."""
            left_s = until_s - self._clock()
            if left_s <= 0:
                raise DeadlineExceeded(f"The check took more than {CHECK_S:g} s; try again.")
            outcomes = run(items, left_s)
            for outcome in outcomes:
                if isinstance(outcome, Exception) and not isinstance(outcome, _VERDICTS):
                    raise outcome
            return outcomes

        return rows


def source_changed(version: Version, found: str) -> Note:
    """The reason where files are not what the entry says they are."""
    expected = version.plan.digest or ""
    message = (
        f"Its files give {found[:12]}, and the entry says {expected[:12]}: they changed since it "
        "was written. Put them back, or add them as a new version."
    )
    return Note("source_changed", message)
