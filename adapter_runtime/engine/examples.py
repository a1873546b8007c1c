"""A task's own examples, tried before the task is admitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from numbers import Real
from types import MappingProxyType
from typing import Any

from adapter_runtime.engine.protocol import Engine, Run
from adapter_runtime.errors import InvalidInput, RowFailed, TooLong
from adapter_runtime.types import Arrays, Note, TaskVersion, WorkItem

TOLERANCE = 0.01
MAX_ROWS = 64
"""Of one example."""
ROUNDING: Mapping[str, float] = MappingProxyType({"bfloat16": 0.02, "int8": 0.05})
"""No tolerance is narrower than what a dtype does to a probability."""


VERDICTS = (InvalidInput, RowFailed)
"""Errors that speak against a version; others, such as a lack of room, say nothing of it."""


def check_examples(version: TaskVersion, engine: Engine, run: Run) -> list[Note]:
    """Answer every example of the version's task; a note for each that is not as expected. Blocks.

    Expected members are held against those of the answer, or of its first item where it is a
    list; an expected list is held against it item by item. Numbers may differ by the expected
    `tolerance`.

    Raises:
        Exception: an example could not be tried now, which says nothing of the version.
    """
    narrowest = ROUNDING.get(engine.info.dtype, 0.0)
    found = []
    for number, example in enumerate(version.spec.examples):
        try:
            answer = _plain(_answer(version, example.inputs, engine, run))
        except VERDICTS as error:
            reason = f"it cannot be answered: {error}"
        else:
            reason = _difference(example.expect, answer, TOLERANCE, narrowest)
        if reason:
            found.append(Note("example_failed", f"examples[{number}]: {reason}"))
    return found


def _answer(version: TaskVersion, inputs: Any, engine: Engine, run: Run) -> Any:
    encoded = engine.encode(version, inputs, {})
    if len(encoded.rows) > MAX_ROWS:
        # Other versions wait for their checks meanwhile.
        raise TooLong(f"makes {len(encoded.rows)} rows; an example may make {MAX_ROWS}.")
    outcomes: list[Arrays] = []
    for outcome in run([WorkItem(version, row) for row in encoded.rows]):
        if isinstance(outcome, Exception):
            raise outcome
        outcomes.append(outcome)
    return engine.decode(version, encoded, outcomes)


def _plain(answer: Any) -> Any:
    if isinstance(answer, list):
        return [_plain(item) for item in answer]
    if is_dataclass(answer) and not isinstance(answer, type):
        return asdict(answer)
    return answer


def _difference(expect: Any, found: Any, tolerance: float, narrowest: float) -> str:
    """What was expected and found, in a sentence; empty where they agree."""
    if expect is None:
        return ""
    if isinstance(expect, Mapping):
        return _member_difference(expect, found, narrowest)
    if isinstance(expect, list | tuple) and isinstance(found, list):
        if len(expect) != len(found):
            return f"expected {len(expect)} items and found {len(found)}."
        items = zip(expect, found, strict=True)
        reasons = (_difference(want, item, tolerance, narrowest) for want, item in items)
        return next(filter(None, reasons), "")
    if _is_number(expect) and _is_number(found):
        agree = abs(expect - found) <= max(tolerance, narrowest)
    else:
        agree = type(expect) is type(found) and expect == found
    return "" if agree else f"expected {expect!r} and found {found!r}."


def _member_difference(expect: Mapping[str, Any], found: Any, narrowest: float) -> str:
    if isinstance(found, list):
        found = found[0] if found else None
    if not isinstance(found, Mapping):
        return f"expected {dict(expect)!r} and found {found!r}."
    tolerance = expect.get("tolerance", TOLERANCE)
    for name, want in expect.items():
        if name == "tolerance":
            continue
        if name not in found:
            return f"expected {name} and found {', '.join(found)} only."
        reason = _difference(want, found[name], tolerance, narrowest)
        if reason:
            return f"{name}: {reason}"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
