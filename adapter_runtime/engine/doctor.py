"""The doctor: one report on everything in a task's files, whether or not they are accepted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from adapter_runtime.backbone.backbone import Backbone
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
from adapter_runtime.engine.holdings import Holdings
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
    TaskVersion,
    leaves,
)

log = logging.getLogger(__name__)
_ADAPTER_FILES = (CONFIG_FILE, *adapterhub.WEIGHT_FILES, *peft.WEIGHT_FILES)
_OTHER_FILES = (*_ADAPTER_FILES, fusions.CONFIG_FILE)


class Doctor:
    """Says of a task's files whether they could serve, and all that is to be known of them.

    Args:
        backbone: what adapters are held against.
        holdings: what weights take where the task would run.
        check: why a version that was read may not serve there.
    """

    def __init__(
        self,
        backbone: Backbone,
        holdings: Holdings,
        check: Callable[[TaskVersion], Sequence[Note]],
    ) -> None:
        self._backbone, self._holdings, self._check = backbone, holdings, check

    def examine(self, spec: TaskSpec) -> Report:
        """Read, check and try a task's files. Blocks; runs one short forward.

        Args:
            spec: the task; its leaves are Sources. A folder with only a head is taken as one.

        Raises:
            SourceError: there are no such files at all.
        """
        with Reading(self._holdings.library) as reading:
            for leaf in leaves(spec.adapter):
                reading.folder(leaf.ref)
            try:
                return self._report(spec, reading)
            finally:  # Its forward brought weights to the device.
                self._holdings.give_back(reading.take())

    def _report(self, spec: TaskSpec, reading: Reading) -> Report:
        backbone = about_backbone(self._backbone.facts)
        facts: dict[str, Any] = {"task": spec.name, "backbone": backbone}
        try:
            spec = _as_head_only(spec, reading)
            problems = self._adapter_problems(spec, reading, facts)
            problems += self._version_problems(spec, reading, facts, is_sound=not problems)
        except RejectedAdapter as error:
            problems = list(error.problems)
        except PolyheadError as error:
            problems = [Note(error.code, str(error))]
        except Exception as error:  # hostile files find what nobody thought of; a verdict is due
            log.exception("The doctor met an unexpected error in %r", spec.name)
            message = f"{type(error).__name__}: {error}; please report it."
            problems = [Note("internal_error", message)]
        warnings = facts.pop("warnings", ())
        return Report(not problems, tuple(problems), warnings, facts)

    def _adapter_problems(
        self, spec: TaskSpec, reading: Reading, facts: dict[str, Any]
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
            about: Mapping[str, Any] = {"format": found.format}
            if found.adapter:
                about = about_adapter(found.adapter, self._holdings.slots)
                facts["fingerprint"] = about_fingerprint(found.adapter, self._backbone.facts)
            facts["adapters"].append({"source": leaf.ref, **about, "tensors": dict(found.accounts)})
        return problems

    def _version_problems(
        self, spec: TaskSpec, reading: Reading, facts: dict[str, Any], is_sound: bool
    ) -> list[Note]:
        """What is wrong with the head, the task's settings, and a forward through all of it."""
        if not is_sound:
            try:
                find_head(spec, self._backbone, reading)
            except RejectedAdapter as error:
                return list(error.problems)
            return []
        version = read_version(spec, self._backbone, reading)
        adapters = [self._holdings.library.item(leaf.ref) for leaf in leaves(version.composition)]
        head = self._holdings.library.item(version.head.digest)
        facts |= {
            "warnings": version.notes,
            "kind": version.kind,
            "digest": version.digest,
            "labels": list(version.labels),
            "limits": asdict(version.limits),
            "head": about_head(head),
            "cost": about_cost(adapters, head, self._backbone, self._holdings),
        }
        return list(self._check(version))


def _as_head_only(spec: TaskSpec, reading: Reading) -> TaskSpec:
    if not isinstance(spec.adapter, Leaf) or spec.head is not None:
        return spec
    folder = reading.folder(spec.adapter.ref)
    if folder.has("head_config.json") and not any(map(folder.has, _OTHER_FILES)):
        return replace(spec, adapter=None, head=spec.adapter.ref)
    return spec


def _is_fusion(folder: Folder) -> bool:
    return folder.has(fusions.CONFIG_FILE) and not any(map(folder.has, _ADAPTER_FILES))
