"""The shape of a task's entry: strict keys, and reasons that help."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    ValidationError,
    field_validator,
)

from adapter_runtime import Aggregation, Kind, Overflow
from serving.errors import TaskFileError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
MAX_VERSIONS = 64
MAX_RETIRED = 64


def _id(value: Any) -> Any:
    """An id as text: YAML reads `id: 1` as a number, and what 1.10 was cannot be known."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise ValueError('write the id in quotes, such as "1.10"')
    if not NAME.fullmatch(value):
        raise ValueError(
            f"{value[:200]!r} is no id; use 1 to 128 letters, digits, dots, dashes and "
            "underscores, and start with a letter or digit"
        )
    return value


Id = Annotated[str, BeforeValidator(_id)]
MAX_WEIGHT = 1e9
"""Sums of weights, and shares of them, must stay numbers."""
Weight = Annotated[float, Field(ge=0, le=MAX_WEIGHT, allow_inf_nan=False, strict=True)]
Rate = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]


class Strict(BaseModel):
    """Refuses keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LimitsEntry(Strict):
    """`limits:` of a task."""

    max_tokens: int | None = Field(default=None, ge=1)
    overflow: Overflow | None = None


class OptionsEntry(Strict):
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
    entailment: StrictInt | str | None = None
    stride: int | None = Field(default=None, ge=0, strict=True)
    aggregation: Aggregation | None = None
    fusion_temperature: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class ExampleEntry(Strict):
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


class ShareableEntry(Strict):
    """What a version states itself, or leaves to its task."""

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


class VersionEntry(ShareableEntry):
    """One of a task's `versions:`."""

    id: Id | None = None
    adapter: Any = None
    head: str | None = None
    weight: Weight | None = None
    shadow: bool = Field(default=False, strict=True)
    digest: str | None = Field(default=None, min_length=12, max_length=128)
    rolled_back: str | None = None


class RollbackEntry(Strict):
    """`rollback:` of a task."""

    error_rate: Rate | None = None
    disagreement: Rate | None = None
    min_requests: int = Field(default=100, ge=1, le=1_000_000, strict=True)


class TaskEntry(ShareableEntry):
    """One task as a file states it: a single adapter and head, or `versions:`."""

    name: str
    adapter: Any = None
    head: str | None = None
    versions: tuple[VersionEntry, ...] | None = Field(default=None, max_length=MAX_VERSIONS)
    rollback: RollbackEntry | None = None
    previous_weights: dict[Id, Weight] | None = None
    retired: tuple[Id, ...] = ()


class PutEntry(TaskEntry):
    """What `PUT /tasks/{name}` takes: a task, or one more version of it."""

    id: Id | None = None
    weight: Weight | None = None
    shadow: bool = Field(default=False, strict=True)
    digest: str | None = Field(default=None, min_length=12, max_length=128)


SHARED = tuple(ShareableEntry.model_fields)
"""Keys that may stand at the task for all its versions."""
OF_VERSION = tuple(VersionEntry.model_fields)

_FIELDS: Mapping[str, tuple[str, ...]] = {
    "versions": OF_VERSION,
    "limits": tuple(LimitsEntry.model_fields),
    "options": tuple(OptionsEntry.model_fields),
    "examples": tuple(ExampleEntry.model_fields),
    "rollback": tuple(RollbackEntry.model_fields),
}


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
        raise TaskFileError(sentence(error, known_options())) from error


def sentence(error: ValidationError, known: tuple[str, ...]) -> str:
    """The first thing that is wrong.

    Args:
        error: what the shape raised.
        known: the keys of the mapping that was checked, for a hint.
    """
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        return f"{place}: {first['msg'].removeprefix('Value error, ')}."
    parents = [str(part) for part in first["loc"][:-1] if not isinstance(part, int)]
    keys = _FIELDS.get(parents[-1], known) if parents else known
    near = near_names(str(first["loc"][-1]), keys)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known keys are {', '.join(keys)}."
    return f"{place} is no known key; {hint}"
