"""`polyhead check`: the admission report for one checkpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from adapter_runtime import Composition, Kind, Leaf, Note, Report, TaskSpec, absolute
from serving.catalog.entries import read_options
from serving.catalog.trees import UnsupportedTree, read_tree
from serving.errors import TaskFileError
from serving.opening import Opener, backbone_of, open_backbone
from serving.settings import Settings
from serving.unreadable import UNREADABLE


def check(
    source: str,
    options: Sequence[str],
    settings: Settings,
    opener: Opener = open_backbone,
    kind: str | None = None,
) -> Report:
    """The doctor's report on one adapter or head folder, or on a composition. Blocks.

    Args:
        source: where the checkpoint is, or a composition as a task file has it.
        options: task options as `name=value`.
        settings: names the backbone.
        kind: the task kind to check for; the head's own by default.

    Raises:
        PolyheadError: the check could not run at all.
    """
    try:
        spec = spec_of(source, parse_options(options), read_kind(kind))
    except UnsupportedTree as error:
        return Report(False, (Note("unsupported_composition", str(error)),), (), {})
    engine = opener(backbone_of(settings), settings.engine_config(is_serving=False))
    try:
        return engine.inspect(spec)
    finally:
        engine.close()


def read_kind(name: str | None) -> Kind | None:
    """A task kind by its name.

    Raises:
        TaskFileError: there is none of that name.
    """
    try:
        return None if name is None else Kind(name)
    except ValueError:
        raise TaskFileError(f"--kind {name}: write one of {', '.join(Kind)}.") from None


def spec_of(source: str, options: dict[str, Any], kind: Kind | None = None) -> TaskSpec:
    """The checkpoint or composition as a task of its own.

    Raises:
        TaskFileError: it is neither; UnsupportedTree where it can never be run.
    """
    return TaskSpec("check", adapter=_tree_of(source), kind=kind, options=options)


def _tree_of(source: str) -> Composition | None:
    here = Path.cwd()
    if not source.lstrip().startswith("{") or _is_path(here / source):
        return Leaf(absolute(source, here))
    try:
        return read_tree(yaml.safe_load(source), here)
    except UNREADABLE as error:
        message = f"{source[:200]}: no composition; write {{average: [./a, ./b]}}."
        raise TaskFileError(message) from error


def _is_path(place: Path) -> bool:
    try:
        return place.exists()
    except (OSError, ValueError):  # too long for a name, or not to be looked into
        return False


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """`name=value` pairs; values are read as YAML.

    Raises:
        TaskFileError: a pair has no `=`, its value is no YAML, or the option is unknown.
    """
    found: dict[str, Any] = {}
    for pair in options:
        name, separator, value = pair.partition("=")
        if not separator:
            raise TaskFileError(f"--option {pair}: write name=value.")
        try:
            found[name.strip()] = yaml.safe_load(value)
        except UNREADABLE as error:
            raise TaskFileError(f"--option {pair[:200]}: the value is not readable.") from error
    return dict(read_options(found))


def report_json(report: Report) -> dict[str, Any]:
    """The report as `polyhead check --json` prints it."""
    return {
        "accepted": report.accepted,
        "problems": [_note(note) for note in report.problems],
        "warnings": [_note(note) for note in report.warnings],
        **report.facts,
    }


def report_text(source: str, report: Report) -> str:
    """The report for people."""
    lines = [f"{source}: {'accepted' if report.accepted else 'REJECTED'}"]
    lines += [f"  problem  [{note.code}] {note.message}" for note in report.problems]
    lines += [f"  warning  [{note.code}] {note.message}" for note in report.warnings]
    for name, value in report.facts.items():
        lines += _fact_lines(name, value)
    return "\n".join(lines)


def _note(note: Note) -> dict[str, str]:
    return {"code": note.code, "message": note.message}


def _fact_lines(name: str, value: Any, indent: str = "  ") -> list[str]:
    """A fact as lines: mappings are indented, long lists of tensors are counted."""
    label = f"{indent}{name.replace('_', ' ')}"
    if name in ("tensors", "accounts") and isinstance(value, Mapping):
        return [f"{label:<24} {_tally(value)}"]
    if name == "quirks" and value:
        return [f"{indent}{'quirk':<20} [{one['code']}] {one['message']}" for one in value]
    if isinstance(value, Mapping):
        inner = [line for key in value for line in _fact_lines(key, value[key], indent + "  ")]
        return [label, *inner] if inner else []
    if isinstance(value, Sequence) and value and isinstance(value[0], Mapping):
        return [line for one in value for line in _fact_lines(name, one, indent)]
    if isinstance(value, list | tuple):
        value = ", ".join(str(item) for item in value) or "none"
    return [f"{label:<24} {value}"]


def _tally(tensors: Mapping[str, Any]) -> str:
    """How many tensors met which fate, or their shapes where those are what is known."""
    if all(isinstance(fate, str) for fate in tensors.values()):
        return ", ".join(f"{count} {fate}" for fate, count in Counter(tensors.values()).items())
    return ", ".join(f"{name} {shape}" for name, shape in tensors.items()) or "none"
