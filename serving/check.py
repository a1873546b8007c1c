"""`polyhead check`: the admission report for one checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from adapter_runtime import Leaf, Note, Report, TaskSpec, absolute
from serving.catalog.entries import read_options
from serving.errors import TaskFileError
from serving.opening import Opener, backbone_of, open_backbone
from serving.settings import Settings


def check(
    source: str, options: Sequence[str], settings: Settings, opener: Opener = open_backbone
) -> Report:
    """The doctor's report on one adapter or head folder. Blocks.

    Args:
        source: where the checkpoint is.
        options: task options as `name=value`.
        settings: names the backbone.

    Raises:
        PolyheadError: the check could not run at all.
    """
    spec = spec_of(source, parse_options(options))
    engine = opener(backbone_of(settings), settings.engine_config())
    try:
        return engine.inspect(spec)
    finally:
        engine.close()


def spec_of(source: str, options: dict[str, Any]) -> TaskSpec:
    """The checkpoint as a task of its own."""
    place = absolute(source, Path.cwd())
    folder = Path(place)
    has_only_head = (folder / "head_config.json").is_file()
    if has_only_head and not (folder / "adapter_config.json").is_file():
        return TaskSpec("check", head=place, options=options)
    return TaskSpec("check", adapter=Leaf(place), options=options)


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """`name=value` pairs; values are read as YAML.

    Raises:
        TaskFileError: a pair has no `=`, or the option is unknown.
    """
    found: dict[str, Any] = {}
    for pair in options:
        name, separator, value = pair.partition("=")
        if not separator:
            raise TaskFileError(f"--option {pair}: write name=value.")
        found[name.strip()] = yaml.safe_load(value)
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
    lines += [
        f"  {name.replace('_', ' '):<20} {_fact(value)}" for name, value in report.facts.items()
    ]
    return "\n".join(lines)


def _note(note: Note) -> dict[str, str]:
    return {"code": note.code, "message": note.message}


def _fact(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or "none"
    return str(value)
