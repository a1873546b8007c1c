"""From settings to an engine and its tasks: what `serve`, `batch` and `check` begin with."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from adapter_runtime import Engine, EngineConfig, SettingsError
from serving.catalog.catalog import Catalog, admit_all
from serving.catalog.files import TaskFile, read_task_file
from serving.errors import TaskFileError
from serving.settings import Settings

Opener = Callable[[str, EngineConfig], Engine]
THREAD_PLAN: Mapping[str, str] = MappingProxyType(
    {
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",
        "KMP_BLOCKTIME": "0",
    }
)
"""Read by libraries when they load. Workers that spin beside an event loop cost a server most of
its throughput as soon as anything else runs on the machine; the engine brings its own threads."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An engine and the tasks that it admitted."""

    engine: Engine
    catalog: Catalog
    backbone: str


def open_backbone(source: str, config: EngineConfig) -> Engine:
    """Load torch and the backbone. Blocks.

    Raises:
        SourceError, BackboneError, SettingsError: as `adapter_runtime.open_engine`.
    """
    for name, value in THREAD_PLAN.items():
        os.environ.setdefault(name, value)
    from adapter_runtime import open_engine  # torch loads here, after the thread plan is set

    return open_engine(source, config)


def read_tasks(settings: Settings) -> TaskFile:
    """The task file that the settings name. Blocks.

    Raises:
        SettingsError: none is named.
        TaskFileError: it cannot be read, or it is strict and an entry is broken.
    """
    if settings.tasks is None:
        raise SettingsError("No tasks to serve: give --tasks PATH or set POLYHEAD_TASKS.")
    file = read_task_file(settings.tasks)
    if settings.strict and file.broken:
        raise TaskFileError(_reasons({each.name: each.reason for each in file.broken}))
    return file


def backbone_of(settings: Settings, file: TaskFile | None = None) -> str:
    """The backbone's Source; the setting wins over the task file.

    Raises:
        SettingsError: neither names one.
    """
    source = settings.backbone or (file.backbone if file else None)
    if source is None:
        raise SettingsError(
            "No backbone: give --backbone SOURCE, set POLYHEAD_BACKBONE, or write `backbone:` "
            "into the task file."
        )
    return source


def open_tasks(settings: Settings, file: TaskFile, opener: Opener = open_backbone) -> Opened:
    """Open the engine and admit the tasks. Blocks.

    Raises:
        PolyheadError: nothing could start, or it is strict and a task failed.
    """
    backbone = backbone_of(settings, file)
    engine = opener(backbone, settings.engine_config())
    catalog = admit_all(engine, file)
    if settings.strict and catalog.failed:
        engine.close()
        raise TaskFileError(_reasons({task.name: task.reason for task in catalog.failed}))
    return Opened(engine, catalog, backbone)


def _reasons(reasons: Mapping[str, str]) -> str:
    listed = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    return f"Refused to start (--strict), {len(reasons)} broken: {listed}"
