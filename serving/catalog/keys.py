"""What tells versions apart before their files are read: the meaning of their entries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from adapter_runtime import TaskSpec
from serving.catalog.plans import TaskPlan, VersionPlan


def plan_of(spec: TaskSpec, etag: str = "") -> TaskPlan:
    """The plan of a task with this one version."""
    return TaskPlan(spec.name, (VersionPlan(spec, key_of(spec)),), etag=etag)


def key_of(spec: TaskSpec) -> str:
    """64 hex digits of what a version means, whatever its files hold."""
    meaning = (spec.adapter, spec.head, spec.kind, spec.labels, spec.limits, dict(spec.options))
    text = json.dumps(_plain(meaning), sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: Any) -> Any:
    """A frozen value as JSON; equal only for equal values."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        own = [_plain(getattr(value, field.name)) for field in fields(value)]
        return [type(value).__name__, *own]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
