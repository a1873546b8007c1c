"""The shape of one task entry, with strict keys and reasons that help."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from adapter_runtime import Example, Kind, Limits, Overflow, TaskSpec, absolute
from serving.catalog.trees import read_tree
from serving.errors import TaskFileError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_LATER = {"versions": "Give one adapter and head.", "rollback": "Remove it."}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LimitsEntry(_Strict):
    """`limits:` of a task."""

    max_tokens: int | None = Field(default=None, ge=1)
    overflow: Overflow | None = None


class OptionsEntry(_Strict):
    """`options:` of a task."""

    pooling: str | None = None
    normalize: bool | None = None
    lora_scaling: Literal["as_trained", "adapters"] | None = None
    reft_subtract_projection: bool | None = None
    multi_label: bool | None = None
    problem_type: Literal["regression", "multi_label_classification"] | None = None
    token_types: bool | None = None
    mlm_inverse: bool | None = None
    head_gelu: Literal["as_trained", "adapters"] | None = None
    fusion_temperature: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class ExampleEntry(_Strict):
    """One of a task's `examples:`, kept for the admission check."""

    inputs: Any
    expect: Any = None

    @field_validator("expect")
    @classmethod
    def _tolerance_is_a_distance(cls, expect: Any) -> Any:
        for part in expect if isinstance(expect, list) else [expect]:
            tolerance = part.get("tolerance", 0) if isinstance(part, dict) else 0
            if isinstance(tolerance, bool) or not isinstance(tolerance, int | float):
                raise ValueError("tolerance must be a number")
            if not tolerance >= 0:
                raise ValueError("tolerance must be 0 or more")
        return expect


class TaskEntry(_Strict):
    """One task as a file states it."""

    name: str
    adapter: Any = None
    head: str | None = None
    kind: Kind | None = None
    labels: tuple[str, ...] | None = None
    limits: LimitsEntry = LimitsEntry()
    options: OptionsEntry = OptionsEntry()
    pinned: bool = False
    examples: tuple[ExampleEntry, ...] = ()

    @field_validator("labels", mode="before")
    @classmethod
    def _labels_are_text(cls, labels: Any) -> Any:
        # YAML reads the labels no, off and 1 as Booleans and a number.
        if isinstance(labels, list) and any(not isinstance(label, str) for label in labels):
            raise ValueError('labels must be texts; quote words such as "no" and numbers')
        return labels


def known_options() -> tuple[str, ...]:
    """The names that `options:` may hold."""
    return tuple(OptionsEntry.model_fields)


def read_options(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Options of a task, checked.

    Raises:
        TaskFileError: a name is unknown or a value is wrong.
    """
    try:
        return OptionsEntry.model_validate(dict(options)).model_dump(exclude_none=True)
    except ValidationError as error:
        raise TaskFileError(_sentence(error, ("options",))) from error


def read_entry(entry: Any, folder: Path) -> TaskSpec:
    """One entry as a TaskSpec with every Source absolute.

    Args:
        entry: what YAML gave.
        folder: relative paths start here.

    Raises:
        TaskFileError: a key is unknown or a value is wrong; names it.
    """
    if not isinstance(entry, dict):
        raise TaskFileError("A task must be a mapping that starts with `name:`.")
    for key, remedy in _LATER.items():
        if key in entry:
            raise TaskFileError(f"`{key}` is not supported by this release. {remedy}")
    try:
        task = TaskEntry.model_validate(entry)
    except ValidationError as error:
        raise TaskFileError(_sentence(error)) from error
    check_name(task.name)
    return TaskSpec(
        name=task.name,
        adapter=read_tree(task.adapter, folder),
        head=absolute(task.head, folder) if task.head else None,
        kind=task.kind,
        labels=task.labels,
        limits=Limits(**task.limits.model_dump(exclude_none=True)),
        options=task.options.model_dump(exclude_none=True),
        pinned=task.pinned,
        examples=tuple(Example(each.inputs, each.expect) for each in task.examples),
    )


def check_name(name: str) -> None:
    """Raises TaskFileError when a task may not be called so."""
    if not NAME.fullmatch(name):
        raise TaskFileError(
            f"{name!r} cannot name a task: use 1 to 128 letters, digits, dots, dashes and "
            "underscores, and start with a letter or digit."
        )


def near_names(name: str, names: Sequence[str]) -> tuple[str, ...]:
    """Names that look like this one, best first, at most three."""
    folded = {known.casefold(): known for known in names}
    found = get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)
    return tuple(folded[key] for key in found)


_FIELDS: Mapping[tuple[str, ...], tuple[str, ...]] = {
    (): tuple(TaskEntry.model_fields),
    ("limits",): tuple(LimitsEntry.model_fields),
    ("options",): tuple(OptionsEntry.model_fields),
    ("examples",): tuple(ExampleEntry.model_fields),
}


def _sentence(error: ValidationError, within: tuple[str, ...] = ()) -> str:
    """The first thing that is wrong; `within` is where the checked mapping stands in a task."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        return f"{place}: {first['msg']}."
    parents = within + tuple(str(part) for part in first["loc"][:-1] if not isinstance(part, int))
    known = _FIELDS.get(parents, known_options())
    near = near_names(str(first["loc"][-1]), known)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known keys are {', '.join(known)}."
    return f"{place} is no known key; {hint}"
