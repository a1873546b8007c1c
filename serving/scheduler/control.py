"""Whether the device itself computes: a row of the bare backbone, which no version can spoil."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from adapter_runtime import Arrays, CapacityError, Engine, Kind, TaskSpec, WorkItem

log = logging.getLogger(__name__)
_SPEC = TaskSpec("bare-backbone", kind=Kind.FEATURE_EXTRACTION)


@contextmanager
def bare_row(engine: Engine) -> Iterator[WorkItem]:
    """A row of the bare backbone, for the block. Blocks."""
    version = engine.read(_SPEC)
    try:
        yield WorkItem(version, engine.encode(version, "a", {}).rows[0])
    finally:
        engine.retire(version)


def is_broken(engine: Engine) -> bool:
    """Whether not even a row of the bare backbone can run: then no version is to blame. Blocks."""
    outcome: Arrays | Exception
    try:
        with bare_row(engine) as item:
            try:
                outcome = engine.run([item], lanes=1).outcomes[0]
            except Exception as error:
                outcome = error
    except Exception as error:
        log.warning("The bare backbone cannot be tried: %s", error)
        return False
    if not isinstance(outcome, Exception) or isinstance(outcome, CapacityError):
        return False
    log.error("The device has failed: not even the bare backbone can run", exc_info=outcome)
    return True
