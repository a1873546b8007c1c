"""Golden checkpoints, broken on purpose."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from adapter_runtime.checkpoint.reader import examine_adapter
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.sources.folder import Folder
from tests.methods import golden

HUB, PEFT = "bert/seq_bn", "bert/peft_lora"
Tensors = dict[str, Tensor]


class Broken:
    """A copy of a golden checkpoint in a folder of its own."""

    def __init__(self, path: str, folder: Path) -> None:
        shutil.copytree(golden.folder_of(path).root, folder, dirs_exist_ok=True)
        self.folder = folder

    @property
    def weights(self) -> Path:
        """The weight file."""
        return next(path for path in self.folder.iterdir() if path.suffix != ".json")

    def config(self, **changes: Any) -> Broken:
        """Change top-level keys of the configuration."""
        return self.edit(lambda config: config.update(changes))

    def inner(self, **changes: Any) -> Broken:
        """Change keys of the configuration under `config`."""
        return self.edit(lambda config: config["config"].update(changes))

    def edit(self, change: Callable[[dict[str, Any]], object]) -> Broken:
        """Change the configuration."""
        path = self.folder / "adapter_config.json"
        config = json.loads(path.read_text())
        change(config)
        path.write_text(json.dumps(config))
        return self

    def tensors(self, change: Callable[[Tensors], object]) -> Broken:
        """Change the tensors."""
        path = self.weights
        if path.suffix == ".bin":
            tensors = torch.load(path, weights_only=True)
            change(tensors)
            torch.save(tensors, path)
        else:
            tensors = load_file(path)
            change(tensors)
            save_file(tensors, path)
        return self

    def codes(self, model_type: str = "bert", **options: Any) -> list[str]:
        """The codes of all problems; empty where it is accepted."""
        return [code for code, _ in self.problems(model_type, **options)]

    def problems(self, model_type: str = "bert", **options: Any) -> list[tuple[str, str]]:
        """All problems, raised or reported."""
        folder = Folder(self.folder, "broken", options.pop("max_bytes", 2 << 30))
        try:
            found = examine_adapter(folder, golden.backbone(model_type).facts, options)
        except RejectedAdapter as error:
            return [tuple(note) for note in error.problems]
        return [tuple(note) for note in found.problems]
