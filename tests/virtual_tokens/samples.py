"""Goldens of the set `virtual` by name: their folders, tasks and answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from adapter_runtime.checkpoint.reader import Examination, examine_adapter
from adapter_runtime.sources.folder import Folder
from tests.goldens import replay

CASES = {
    (case.backbone, case.entry["name"]): case
    for case in replay.all_cases()
    if case.group == "virtual"
}


def case(name: str, backbone: str = "bert") -> replay.Case:
    """One golden."""
    return CASES[backbone, name]


def folder(name: str, backbone: str = "bert") -> Path:
    """The checkpoint as the library saved it."""
    return replay.checkpoints("virtual", backbone) / name


def examine(path: Path, backbone: str = "bert") -> Examination:
    """What the doctor finds in a folder."""
    facts = replay.engine(backbone).backbone.facts
    return examine_adapter(Folder(path, path.name), facts, {})


def codes(path: Path, backbone: str = "bert") -> list[str]:
    """The problems' codes."""
    return [problem.code for problem in examine(path, backbone).problems]


class Changed:
    """A golden checkpoint in a folder of its own, changed on purpose."""

    def __init__(self, name: str, target: Path, backbone: str = "bert") -> None:
        self.path = target / name
        shutil.copytree(folder(name, backbone), self.path)

    def config(self, change: Callable[[dict[str, Any]], object]) -> Path:
        """Change the configuration; the folder's path."""
        path = self.path / "adapter_config.json"
        config = json.loads(path.read_text())
        change(config)
        path.write_text(json.dumps(config))
        return self.path

    def tensors(self, change: Callable[[dict[str, Any]], object]) -> Path:
        """Change the tensors; the folder's path."""
        (path,) = (file for file in self.path.iterdir() if file.suffix != ".json")
        if path.suffix == ".bin":
            tensors = torch.load(path, weights_only=True)
            change(tensors)
            torch.save(tensors, path)
        else:
            tensors = load_file(path)
            change(tensors)
            save_file(tensors, path)
        return self.path
