"""Polyhead's runtime: one frozen backbone, many adapters and heads, any mix in one batch.

Names are loaded on first use, so that importing this package alone loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapter_runtime.compositions import REFUSED as REFUSED
    from adapter_runtime.compositions import nesting_problem as nesting_problem
    from adapter_runtime.config import EngineConfig as EngineConfig
    from adapter_runtime.engine.open import open_engine as open_engine
    from adapter_runtime.engine.protocol import Encode as Encode
    from adapter_runtime.engine.protocol import Engine as Engine
    from adapter_runtime.engine.protocol import EngineInfo as EngineInfo
    from adapter_runtime.engine.protocol import Run as Run
    from adapter_runtime.errors import BackboneError as BackboneError
    from adapter_runtime.errors import CapacityError as CapacityError
    from adapter_runtime.errors import InvalidInput as InvalidInput
    from adapter_runtime.errors import OutOfMemory as OutOfMemory
    from adapter_runtime.errors import PolyheadError as PolyheadError
    from adapter_runtime.errors import RejectedAdapter as RejectedAdapter
    from adapter_runtime.errors import RowFailed as RowFailed
    from adapter_runtime.errors import SettingsError as SettingsError
    from adapter_runtime.errors import SourceError as SourceError
    from adapter_runtime.errors import SourceRefused as SourceRefused
    from adapter_runtime.errors import TooLong as TooLong
    from adapter_runtime.errors import UnknownTask as UnknownTask
    from adapter_runtime.errors import VersionFailed as VersionFailed
    from adapter_runtime.facade.conversion import convert_checkpoint as convert_checkpoint
    from adapter_runtime.facade.refused import BatchSplit as BatchSplit
    from adapter_runtime.facade.refused import MultiTask as MultiTask
    from adapter_runtime.facade.refused import Parallel as Parallel
    from adapter_runtime.facade.refused import Split as Split
    from adapter_runtime.facade.runtime import AdapterRuntime as AdapterRuntime
    from adapter_runtime.heads.answers import AnswerSpan as AnswerSpan
    from adapter_runtime.heads.answers import ChoiceScore as ChoiceScore
    from adapter_runtime.heads.answers import EntityGroup as EntityGroup
    from adapter_runtime.heads.answers import LabelScore as LabelScore
    from adapter_runtime.heads.answers import TokenEntity as TokenEntity
    from adapter_runtime.reports import EngineStats as EngineStats
    from adapter_runtime.reports import Outline as Outline
    from adapter_runtime.reports import Report as Report
    from adapter_runtime.reports import Timing as Timing
    from adapter_runtime.sources.resolve import absolute as absolute
    from adapter_runtime.sources.resolve import at_hand as at_hand
    from adapter_runtime.sources.resolve import pin_revision as pin_revision
    from adapter_runtime.sources.resolve import resolve as resolve
    from adapter_runtime.sources.rules import SourceRules as SourceRules
    from adapter_runtime.types import Adapter as Adapter
    from adapter_runtime.types import Aggregation as Aggregation
    from adapter_runtime.types import Arrays as Arrays
    from adapter_runtime.types import Average as Average
    from adapter_runtime.types import Composition as Composition
    from adapter_runtime.types import Encoded as Encoded
    from adapter_runtime.types import Example as Example
    from adapter_runtime.types import Fuse as Fuse
    from adapter_runtime.types import HeadSpec as HeadSpec
    from adapter_runtime.types import Kind as Kind
    from adapter_runtime.types import Leaf as Leaf
    from adapter_runtime.types import Limits as Limits
    from adapter_runtime.types import Merge as Merge
    from adapter_runtime.types import Note as Note
    from adapter_runtime.types import Overflow as Overflow
    from adapter_runtime.types import Residency as Residency
    from adapter_runtime.types import Row as Row
    from adapter_runtime.types import RunResult as RunResult
    from adapter_runtime.types import RunStats as RunStats
    from adapter_runtime.types import Stack as Stack
    from adapter_runtime.types import TaskSpec as TaskSpec
    from adapter_runtime.types import TaskVersion as TaskVersion
    from adapter_runtime.types import WorkItem as WorkItem
    from adapter_runtime.types import leaves as leaves
    from adapter_runtime.types import map_leaves as map_leaves

_WHERE = {
    "compositions": ("REFUSED", "nesting_problem"),
    "config": ("EngineConfig",),
    "engine.open": ("open_engine",),
    "engine.protocol": ("Encode", "Engine", "EngineInfo", "Run"),
    "errors": (
        "BackboneError",
        "CapacityError",
        "InvalidInput",
        "OutOfMemory",
        "PolyheadError",
        "RejectedAdapter",
        "RowFailed",
        "SettingsError",
        "SourceError",
        "SourceRefused",
        "TooLong",
        "UnknownTask",
        "VersionFailed",
    ),
    "facade.conversion": ("convert_checkpoint",),
    "facade.refused": ("BatchSplit", "MultiTask", "Parallel", "Split"),
    "facade.runtime": ("AdapterRuntime",),
    "heads.answers": ("AnswerSpan", "ChoiceScore", "EntityGroup", "LabelScore", "TokenEntity"),
    "reports": ("EngineStats", "Outline", "Report", "Timing"),
    "sources.resolve": ("absolute", "at_hand", "pin_revision", "resolve"),
    "sources.rules": ("SourceRules",),
    "types": (
        "Adapter",
        "Aggregation",
        "Arrays",
        "Average",
        "Composition",
        "Encoded",
        "Example",
        "Fuse",
        "HeadSpec",
        "Kind",
        "Leaf",
        "Limits",
        "Merge",
        "Note",
        "Overflow",
        "Residency",
        "Row",
        "RunResult",
        "RunStats",
        "Stack",
        "TaskSpec",
        "TaskVersion",
        "WorkItem",
        "leaves",
        "map_leaves",
    ),
}
_HOME = {name: module for module, names in _WHERE.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
