"""The method goldens as tests use them: filled backbones, unpacked checkpoints, expected states."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel

from adapter_runtime.backbone.backbone import Backbone
from adapter_runtime.backbone.load import load_backbone
from adapter_runtime.checkpoint.reader import read_adapter
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Adapter, Composition, Leaf, Row, Stack
from tests.goldens.filling import fill_backbone
from tests.goldens.heads.backbones import CONFIGS

HERE = Path(__file__).parents[1] / "goldens" / "methods"
CASES: Mapping[str, list[dict[str, Any]]] = json.loads((HERE / "cases.json").read_text())
ALL = [(model_type, case["name"]) for model_type, cases in CASES.items() for case in cases]


def case_of(model_type: str, name: str) -> dict[str, Any]:
    """One case's entry."""
    return next(case for case in CASES[model_type] if case["name"] == name)


@cache
def unpacked(model_type: str) -> Path:
    """The folder that holds the architecture's checkpoints, as the libraries saved them."""
    root = Path(mkdtemp(prefix="goldens-"))
    with zipfile.ZipFile(HERE / f"{model_type}.zip") as archive:
        archive.extractall(root)
    return root


def folder_of(path: str) -> Folder:
    """A checkpoint by its path in the archive, such as `bert/seq_bn`."""
    return Folder(unpacked(path.split("/")[0]) / path, path)


@cache
def backbone(model_type: str) -> Backbone:
    """The filled backbone, saved and loaded again as a user's would be."""
    config = AutoConfig.for_model(model_type, **CONFIGS[model_type])
    folder = Path(mkdtemp(prefix=f"golden-{model_type}-"))
    fill_backbone(AutoModel.from_config(config)).save_pretrained(folder)
    return load_backbone(Folder(folder, model_type), torch.device("cpu"), torch.float32)


@cache
def arrays(model_type: str) -> Mapping[str, Any]:
    """Inputs and expected states of an architecture."""
    with np.load(HERE / f"{model_type}.npz") as stored:
        return dict(stored)


def rows(model_type: str) -> list[Row]:
    """The input rows."""
    stored = arrays(model_type)
    found = []
    while f"input_ids{len(found)}" in stored:
        types = stored.get(f"token_type_ids{len(found)}")
        ids = tuple(stored[f"input_ids{len(found)}"].tolist())
        found.append(Row(ids, None if types is None else tuple(types.tolist())))
    return found


def expected(model_type: str, name: str, kind: str = "hidden") -> list[Tensor]:
    """The library's final hidden states (or logits), row by row."""
    stored = arrays(model_type)
    return [
        torch.from_numpy(stored[f"{name}/{kind}{index}"]) for index in range(len(rows(model_type)))
    ]


@cache
def adapter(model_type: str, path: str, options: tuple[tuple[str, str], ...] = ()) -> Adapter:
    """A checkpoint of a case, read."""
    return read_adapter(folder_of(path), backbone(model_type).facts, dict(options))


def adapters(model_type: str, name: str) -> list[Adapter]:
    """The adapters of a case, one or a stack of them."""
    case = case_of(model_type, name)
    options = tuple(case.get("options", {}).items())
    paths = case.get("stack") or [case["folder"]]
    return [adapter(model_type, path, options) for path in paths]


def composition(model_type: str, name: str) -> Composition:
    """A case's composition by digest."""
    found = [Leaf(one.digest) for one in adapters(model_type, name)]
    return found[0] if len(found) == 1 else Stack(tuple(found))
