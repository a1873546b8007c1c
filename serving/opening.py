"""From settings to an engine and its tasks: what `serve`, `batch` and `check` begin with."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from adapter_runtime import Engine, EngineConfig, SettingsError
from serving.catalog.files import open_store
from serving.catalog.plans import TaskFile
from serving.catalog.store import CatalogStore
from serving.errors import TaskFileError
from serving.lifecycle.admitting.at_once import AtOnce
from serving.lifecycle.live.tasks import Tasks
from serving.lifecycle.live.version import Version
from serving.settings import Settings

log = logging.getLogger(__name__)
Opener = Callable[[str, EngineConfig], Engine]
Catalog = tuple[CatalogStore, TaskFile]
"""Where tasks are, and what it says of them now."""
THREAD_PLAN: Mapping[str, str] = MappingProxyType(
    {
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",
        "KMP_BLOCKTIME": "0",
    }
)
"""Read by libraries when they load. Workers that spin beside an event loop cost a server most of
its throughput as soon as anything else runs on the machine; the engine brings its own threads."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An engine and the tasks that it shall serve.

    Args:
        at_once: admits them while the caller waits.
        store: where they come from.
    """

    engine: Engine
    tasks: Tasks
    at_once: AtOnce
    store: CatalogStore
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


def open_catalog(settings: Settings) -> Catalog:
    """The catalog that the settings name, and what it says now. Blocks.

    Raises:
        SettingsError: none is named.
        TaskFileError: it cannot be read, or it is strict and an entry is broken.
    """
    if settings.tasks is None:
        raise SettingsError("No tasks to serve: give --tasks PATH or set POLYHEAD_TASKS.")
    store = open_store(settings.tasks, settings.poll_s)
    file = store.read()
    if settings.strict and file.broken:
        raise TaskFileError(_reasons({each.name: each.reason for each in file.broken}))
    return store, file


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


def open_tasks(
    settings: Settings,
    catalog: Catalog,
    opener: Opener = open_backbone,
    is_serving: bool = True,
) -> Opened:
    """Open the engine for a catalog's tasks; where it is strict, admit them all. Blocks.

    Args:
        settings, catalog: what to open.
        opener: opens the backbone.
        is_serving: see `Settings.engine_config`.

    Raises:
        PolyheadError: nothing could start, or it is strict and a version was refused.
    """
    store, file = catalog
    backbone = backbone_of(settings, file)
    engine = opener(backbone, settings.engine_config(is_serving))
    tasks = Tasks()
    tasks.apply(file)
    for broken in file.broken:
        log.error("Task %s is NOT served: %s", broken.name, broken.reason)
    opened = Opened(engine, tasks, AtOnce(tasks, engine), store, backbone)
    if settings.strict:
        try:
            _admit_all(opened, settings.load_threads)
        except BaseException:
            engine.close()
            raise
    return opened


def _admit_all(opened: Opened, num_threads: int) -> None:
    """Raises TaskFileError when a version is refused that is not known to be bad already."""
    versions = [
        version
        for task in opened.tasks
        for version in task.versions
        if version.plan.rolled_back is None
    ]
    opened.at_once.admit_all(versions, num_threads)
    refused = [version for version in versions if not version.is_ready]
    if refused:
        raise TaskFileError(_reasons(_by_name(refused)))


def _by_name(versions: Sequence[Version]) -> dict[str, str]:
    found: dict[str, str] = {}
    for version in versions:
        given = version.plan.id
        name = version.task if given is None else f"{version.task} (version {given})"
        found[name] = " ".join(note.message for note in version.reasons)
    return found


def _reasons(reasons: Mapping[str, str]) -> str:
    listed = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    return f"Refused to start (--strict), {len(reasons)} broken: {listed}"
