"""Whether the device itself has failed, when everything that is tried on it raises."""

from __future__ import annotations

import logging

from adapter_runtime import Arrays, CapacityError, Engine, Kind, TaskSpec, WorkItem

log = logging.getLogger(__name__)
_SPEC = TaskSpec("bare-backbone", kind=Kind.FEATURE_EXTRACTION)


def is_broken(engine: Engine) -> bool:
    """Whether not even a row of the bare backbone can run: then no version is to blame. Blocks."""
    try:
        version = engine.read(_SPEC)
    except Exception as error:
        log.warning("The bare backbone cannot be tried: %s", error)
        return False
    outcome: Arrays | Exception
    try:
        row = engine.encode(version, "a", {}).rows[0]
        outcome = engine.run([WorkItem(version, row)], lanes=1).outcomes[0]
    except Exception as error:
        outcome = error
    finally:
        engine.retire(version)
    if not isinstance(outcome, Exception) or isinstance(outcome, CapacityError):
        return False
    log.error("The device has failed: not even the bare backbone can run", exc_info=outcome)
    return True
