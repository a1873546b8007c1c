"""PEFT checkpoints made by hand on a tiny BERT, and what its reader says of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from adapter_runtime.backbone.backbone import Backbone
from adapter_runtime.backbone.load import load_backbone
from adapter_runtime.backbone.routing import Layout, Routing
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.checkpoint.peft.reader import read_peft
from adapter_runtime.engine.reference import ReferenceRouter
from adapter_runtime.ledger import Ledger
from adapter_runtime.methods.table import METHODS
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Adapter, Leaf, Note, Part, Row
from tests.goldens.filling import draw
from tests.goldens.replay import saved_backbone

WRAPPER = "base_model.model."
ROW = Row((7, 21, 33, 48, 5, 90), (0, 0, 0, 1, 1, 1))


@cache
def backbone(name: str = "bert") -> Backbone:
    """A tiny backbone of the goldens."""
    folder = Folder(saved_backbone(name), name)
    return load_backbone(folder, torch.device("cpu"), torch.float32)


def linears(name: str = "bert") -> dict[str, tuple[int, ...]]:
    """Paths and shapes of a backbone's linears."""
    return dict(backbone(name).facts.linears)


def config(**options: Any) -> dict[str, Any]:
    """A LoRA configuration as PEFT writes it."""
    return {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["query"]} | options


def lora_tensors(
    paths: Iterable[str], rank: int = 4, prefix: str = "", name: str = "bert"
) -> dict[str, Tensor]:
    """LoRA's tensors for these linears, drawn from their names."""
    shapes, found = linears(name), {}
    for path in paths:
        width_out, width_in = shapes[path]
        stem = f"{WRAPPER}{prefix}{path}"
        found[f"{stem}.lora_A.weight"] = draw(f"A {path}", (rank, width_in), 0.3)
        found[f"{stem}.lora_B.weight"] = draw(f"B {path}", (width_out, rank), 0.3)
    return found


def queries(prefix: str = "") -> dict[str, Tensor]:
    """LoRA's tensors for all queries."""
    return lora_tensors([path for path in linears() if path.endswith("query")], prefix=prefix)


def read(
    options: Mapping[str, Any], tensors: Mapping[str, Tensor], name: str = "bert"
) -> tuple[tuple[Part, ...], tuple[Note, ...]]:
    """The Parts of a checkpoint and its problems."""
    ledger = Ledger(tensors)
    parts, _ = read_peft(options, ledger, backbone(name).facts)
    return parts, ledger.problems()


def codes(options: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None) -> list[str]:
    """The distinct codes of a checkpoint's problems; the queries' tensors by default."""
    _, problems = read(options, queries() if tensors is None else tensors)
    return list(dict.fromkeys(problem.code for problem in problems))


@torch.no_grad()
def states(parts: tuple[Part, ...], row: Row = ROW) -> Tensor:
    """The final states of a row under an adapter, by the reference path."""
    adapter = Adapter("hand", "hand", parts, "peft")
    router = ReferenceRouter(lambda _digest: adapter, METHODS)
    spans = RowSpans((0,), (len(row.input_ids),), len(row.input_ids))
    work = router.route([Leaf("hand")], spans)
    return backbone().forward([row], Routing(Layout.PACKED, spans, work))


def plain_linear(path: str) -> nn.Linear:
    """A frozen linear of the backbone."""
    facts = backbone().facts
    module = backbone().bases[facts.modules[path]]
    assert isinstance(module, nn.Linear)
    return module
