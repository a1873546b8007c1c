"""The doctor: one report on everything in a task's files, whether or not they are accepted."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from adapter_runtime.checkpoint.hub import adapterhub, fusions
from adapter_runtime.checkpoint.hub.adapterhub import CONFIG_FILE
from adapter_runtime.checkpoint.peft import reader as peft
from adapter_runtime.checkpoint.reader import OTHER_FOLDERS
from adapter_runtime.compositions import members
from adapter_runtime.engine.about import (
    about_adapter,
    about_backbone,
    about_cost,
    about_fingerprint,
    about_head,
)
from adapter_runtime.engine.composing import describe
from adapter_runtime.engine.reading import Reading
from adapter_runtime.engine.task_head import find_head
from adapter_runtime.engine.versions import read_version
from adapter_runtime.errors import PolyheadError, RejectedAdapter
from adapter_runtime.reports import Report
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import (
    Leaf,
    Note,
    TaskSpec,
    leaves,
)

if TYPE_CHECKING:
    from adapter_runtime.engine.engine import LocalEngine

log = logging.getLogger(__name__)
_ADAPTER_FILES = (CONFIG_FILE, *adapterhub.WEIGHT_FILES, *peft.WEIGHT_FILES)
_OTHER_FILES = (*_ADAPTER_FILES, fusions.CONFIG_FILE)


def examine(spec: TaskSpec, engine: LocalEngine) -> Report:
    """Read, check and try a task's files. Blocks; runs one short forward.

    Args:
        spec: the task; its leaves are Sources. A folder that holds only a head is taken as one.
        engine: where the task would run.

    Raises:
        SourceError: there are no such files at all.
    """
    with Reading(engine.library) as reading:
        for leaf in leaves(spec.adapter):
            reading.folder(leaf.ref)
        try:
            return _examine(spec, engine, reading)
        finally:  # Its forward brought weights to the device.
            engine.holdings.give_back(reading.take())


def _examine(spec: TaskSpec, engine: LocalEngine, reading: Reading) -> Report:
    facts: dict[str, Any] = {"task": spec.name, "backbone": about_backbone(engine.backbone.facts)}
    try:
        spec = _as_head_only(spec, reading)
        problems = _adapter_problems(spec, engine, reading, facts)
        problems += _version_problems(spec, engine, reading, facts, is_sound=not problems)
    except RejectedAdapter as error:
        problems = list(error.problems)
    except PolyheadError as error:
        problems = [Note(error.code, str(error))]
    except Exception as error:  # hostile files find what nobody thought of; a verdict is due still
        log.exception("The doctor met an unexpected error in %r", spec.name)
        problems = [Note("internal_error", f"{type(error).__name__}: {error}; please report it.")]
    warnings = facts.pop("warnings", ())
    return Report(not problems, tuple(problems), warnings, facts)


def _as_head_only(spec: TaskSpec, reading: Reading) -> TaskSpec:
    if not isinstance(spec.adapter, Leaf) or spec.head is not None:
        return spec
    folder = reading.folder(spec.adapter.ref)
    if folder.has("head_config.json") and not any(map(folder.has, _OTHER_FILES)):
        return replace(spec, adapter=None, head=spec.adapter.ref)
    return spec


def _adapter_problems(
    spec: TaskSpec, engine: LocalEngine, reading: Reading, facts: dict[str, Any]
) -> list[Note]:
    problems: list[Note] = []
    facts |= {"composition": describe(spec.adapter), "adapters": []}
    for leaf, is_fusion in members(spec.adapter):
        is_misplaced = not is_fusion and _is_fusion(reading.folder(leaf.ref))
        if is_misplaced:  # What it holds is told all the same.
            problems.append(Note(*OTHER_FOLDERS[fusions.CONFIG_FILE]))
        reads_fusion = is_fusion or is_misplaced
        examine_files = reading.examine_fusion if reads_fusion else reading.examine_adapter
        found = examine_files(leaf.ref, spec.options)
        problems += found.problems
        about = about_adapter(found.adapter, engine) if found.adapter else {"format": found.format}
        facts["adapters"].append({"source": leaf.ref, **about, "tensors": dict(found.accounts)})
        if found.adapter:
            facts["fingerprint"] = about_fingerprint(found.adapter, engine.backbone.facts)
    return problems


def _is_fusion(folder: Folder) -> bool:
    return folder.has(fusions.CONFIG_FILE) and not any(map(folder.has, _ADAPTER_FILES))


def _version_problems(
    spec: TaskSpec,
    engine: LocalEngine,
    reading: Reading,
    facts: dict[str, Any],
    is_sound: bool,
) -> list[Note]:
    """What is wrong with the head, the task's settings, and a forward through all of it."""
    if not is_sound:
        try:
            find_head(spec, engine.backbone, reading)
        except RejectedAdapter as error:
            return list(error.problems)
        return []
    version = read_version(spec, engine.backbone, reading)
    adapters = [engine.library.item(leaf.ref) for leaf in leaves(version.composition)]
    head = engine.library.item(version.head.digest)
    facts |= {
        "warnings": version.notes,
        "kind": version.kind,
        "digest": version.digest,
        "labels": list(version.labels),
        "limits": asdict(version.limits),
        "head": about_head(head),
        "cost": about_cost(adapters, head, engine),
    }
    return list(engine.check(version))
