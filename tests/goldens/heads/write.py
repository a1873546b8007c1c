"""Writes `written.json`: the files that Polyhead saves heads as, for `adapters` to read.

Run from the repository root in the project's environment, before
`python -m tests.goldens.make_heads written`: `python -m tests.goldens.heads.write`.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.heads.reading import new_head, write_head
from tests.heads.plain import facts

HERE = Path(__file__).parent
LABELS = ("negative", "neutral", "positive")
HEADS: dict[str, tuple[str, dict[str, Any], tuple[str, ...] | None]] = {
    "classification": ("classification", {"num_labels": 3}, LABELS),
    "no-activation": (
        "classification",
        {"num_labels": 2, "layers": 3, "activation_function": None, "bias": False},
        None,
    ),
    "multilabel": ("multilabel_classification", {"num_labels": 3, "layers": 1}, LABELS),
    "tagging": ("tagging", {"num_labels": 3}, LABELS),
    "question_answering": ("question_answering", {"num_labels": 2}, None),
    "multiple_choice": ("multiple_choice", {"num_choices": 2}, None),
    "pooler": ("classification", {"num_labels": 3, "use_pooler": True}, LABELS),
}
MODEL_TYPES = ("bert", "roberta", "xlm-roberta", "distilbert", "electra")


def cases() -> dict[str, tuple[str, str]]:
    """Model type and head of each case by its name."""
    return {
        f"{model_type}/{name}": (model_type, name)
        for model_type in MODEL_TYPES
        for name in HEADS
        if name != "pooler" or facts(model_type).has_pooler
    }


def written(model_type: str, name: str) -> dict[str, Any]:
    """What Polyhead writes for a new head: the configuration, and each tensor's shape."""
    head_type, settings, labels = HEADS[name]
    backbone: BackboneFacts = facts(model_type)
    head = new_head("task", head_type, settings, labels, backbone)
    with TemporaryDirectory() as folder:
        write_head(head, Path(folder), backbone, "task")
        config = json.loads(Path(folder, "head_config.json").read_text())
        tensors = torch.load(Path(folder, "pytorch_model_head.bin"), weights_only=True)
    shapes = {key: list(tensor.shape) for key, tensor in tensors.items()}
    return {"model_type": model_type, "config": config, "tensors": shapes}


if __name__ == "__main__":
    stored = {case: written(*parts) for case, parts in cases().items()}
    (HERE / "written.json").write_text(json.dumps(stored, indent=1))
