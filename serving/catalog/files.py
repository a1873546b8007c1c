"""Task files: one YAML for all tasks, one YAML per task, or bare adapter folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from adapter_runtime import Leaf, TaskSpec, absolute
from serving.catalog.entries import read_entry
from serving.catalog.keys import plan_of
from serving.catalog.plans import Broken, TaskFile, TaskPlan
from serving.catalog.shapes import check_name, near_names
from serving.errors import TaskFileError

_YAML = (".yaml", ".yml")
_KEYS = ("backbone", "tasks")
_MAX_BYTES = 8 << 20


def read_task_file(path: str) -> TaskFile:
    """Read a task file or a folder of tasks. Blocks.

    Raises:
        TaskFileError: there is no such path, or it is broken as a whole.
    """
    if "://" in path:
        raise TaskFileError(f"{path}: task files are read from local paths; copy them here first.")
    place = Path(path).expanduser()
    if place.is_file():
        return _read_file(place)
    if not place.is_dir():
        raise TaskFileError(f"{path}: no such task file or folder.")
    files = sorted(file for file in place.iterdir() if file.suffix in _YAML)
    if files:
        return TaskFile(None, *_collect((file.stem, _entry(file)) for file in files))
    folders = [folder for folder in sorted(place.iterdir()) if _holds_task(folder)]
    if not folders:
        raise TaskFileError(f"{path}: holds neither task files (*.yaml) nor adapter folders.")
    return TaskFile(None, *_collect((folder.name, _bare(folder)) for folder in folders))


Outcome = TaskPlan | TaskFileError


def _read_file(file: Path) -> TaskFile:
    content = _load(file)
    if not isinstance(content, dict) or not isinstance(content.get("tasks"), list):
        raise TaskFileError(f"{file}: expected a mapping with a list under `tasks:`.")
    for key in content:
        if key not in _KEYS:
            near = near_names(str(key), _KEYS) or _KEYS
            raise TaskFileError(f"{file}: {key} is no known key; did you mean {' or '.join(near)}?")
    backbone = content.get("backbone")
    if backbone is not None and not isinstance(backbone, str):
        raise TaskFileError(f"{file}: backbone must be a Source, written as text.")
    folder = file.resolve().parent
    entries = (
        (_name(entry, place), _try(entry, folder)) for place, entry in enumerate(content["tasks"])
    )
    return TaskFile(backbone and absolute(backbone, folder), *_collect(entries))


def _load(file: Path) -> Any:
    if not file.is_file():
        raise TaskFileError(f"{file}: not a regular file.")
    if file.stat().st_size > _MAX_BYTES:
        raise TaskFileError(f"{file}: larger than {_MAX_BYTES} bytes; use a folder of task files.")
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, OSError, RecursionError) as error:
        raise TaskFileError(
            f"{file}: not readable as YAML: {' '.join(str(error).split())}"
        ) from error


def _entry(file: Path) -> Outcome:
    try:
        content = _load(file)
    except TaskFileError as error:
        return error
    named = {"name": file.stem, **content} if isinstance(content, dict) else content
    return _try(named, file.resolve().parent)


def _try(entry: Any, folder: Path) -> Outcome:
    try:
        return read_entry(entry, folder)
    except TaskFileError as error:
        return error
    except (RuntimeError, RecursionError, UnicodeError) as error:
        return TaskFileError(f"The entry cannot be read: {error}.")


def _bare(folder: Path) -> Outcome:
    source = str(folder.resolve())
    try:
        check_name(folder.name)
    except TaskFileError as error:
        return error
    if (folder / "adapter_config.json").is_file():
        return plan_of(TaskSpec(folder.name, adapter=Leaf(source)))
    return plan_of(TaskSpec(folder.name, head=source))


def _holds_task(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("adapter_config.json", "head_config.json"))


def _name(entry: Any, place: int) -> str:
    name = entry.get("name") if isinstance(entry, dict) else None
    return name if isinstance(name, str) and name else f"tasks[{place}]"


def _collect(
    outcomes: Iterable[tuple[str, Outcome]],
) -> tuple[tuple[TaskPlan, ...], tuple[Broken, ...]]:
    """Good and broken entries; a name used twice is broken, for which one is meant is unknown."""
    by_name: dict[str, list[Outcome]] = {}
    for name, outcome in outcomes:
        key = outcome.name if isinstance(outcome, TaskPlan) else name
        by_name.setdefault(key, []).append(outcome)
    plans = [found[0] for found in by_name.values() if len(found) == 1]
    good = tuple(plan for plan in plans if isinstance(plan, TaskPlan))
    return good, tuple(_broken(by_name))


def _broken(by_name: dict[str, list[Outcome]]) -> Iterator[Broken]:
    for name, found in by_name.items():
        if len(found) > 1:
            yield Broken(name, f"{len(found)} tasks are named {name}; give each its own name.")
        elif isinstance(found[0], TaskFileError):
            yield Broken(name, str(found[0]))
