"""Plain Hugging Face backbones, filled by name, and what heads need of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel, PreTrainedModel

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.heads.static import STATIC_HEADS
from adapter_runtime.heads.base import HeadStates
from adapter_runtime.heads.layers import tensor_shapes
from adapter_runtime.heads.table import HEADS
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Arrays, HeadSpec, HeadWeights, Row
from tests.goldens.filling import fill_backbone
from tests.goldens.heads.backbones import CONFIGS, values

WITHOUT_POOLER = frozenset({"distilbert", "electra"})


@cache
def plain_model(model_type: str, vocab_size: int = 99) -> PreTrainedModel:
    """The filled backbone of the goldens."""
    sizes = CONFIGS[model_type] | {"vocab_size": vocab_size}
    model = AutoModel.from_config(AutoConfig.for_model(model_type, **sizes)).eval()
    fill_backbone(model)
    return model


def facts(model_type: str, *, has_pooler: bool | None = None) -> BackboneFacts:
    """What heads are read against, without points."""
    if has_pooler is None:
        has_pooler = model_type not in WITHOUT_POOLER
    return BackboneFacts(
        model_type=model_type,
        model_name=f"tiny-{model_type}",
        prefix=model_type.split("-")[-1],
        hidden_size=32,
        embedding_size=32,
        num_layers=2,
        vocab_size=99,
        modules={},
        shapes={},
        biased=frozenset(),
        adapter_paths={},
        linears={},
        biases={},
        has_pooler=has_pooler,
    )


@torch.no_grad()
def states_of(model: PreTrainedModel, rows: Sequence[Row]) -> HeadStates:
    """The rows' final states, each row run alone, one after another in one stream."""
    hidden, pooled = [], []
    for row in rows:
        inputs = {"input_ids": torch.tensor([row.input_ids])}
        if row.type_ids is not None:
            inputs["token_type_ids"] = torch.tensor([row.type_ids])
        output = model(**inputs)
        hidden.append(output.last_hidden_state[0])
        pooled.append(getattr(output, "pooler_output", None))
    lengths = [len(states) for states in hidden]
    starts = [0, *np.cumsum(lengths)[:-1].tolist()]
    return HeadStates(
        torch.cat(hidden),
        starts,
        lengths,
        pool=lambda: torch.cat(pooled),
        inputs=list(rows),
        invert=lambda x: x,
        vocabulary=model.get_input_embeddings().weight,
    )


def states_of_rows(rows: Sequence[Row]) -> HeadStates:
    """States that are nothing but their places in their rows. Shape: `[tokens, 1]`."""
    lengths = [len(row.input_ids) for row in rows]
    places = torch.cat([torch.arange(length, dtype=torch.float32) for length in lengths])
    return HeadStates(
        places.unsqueeze(1),
        [0, *np.cumsum(lengths)[:-1].tolist()],
        lengths,
        pool=lambda: torch.empty(0),
        inputs=list(rows),
        invert=lambda x: x,
        vocabulary=torch.empty(0),
    )


def run_head(head: HeadWeights, states: HeadStates, *, raw: bool = True) -> list[Arrays]:
    """A head's outcomes for all rows of the states."""
    kind = HEADS[head.spec.head_type]
    return kind.forward(head.spec, head.tensors, states, [raw] * len(states.lengths))


def static_head(class_name: str, labels: Sequence[str]) -> HeadWeights:
    """A task class's head, filled by name."""
    head = STATIC_HEADS[class_name]
    fixed = {"question_answering": 2, "multiple_choice": 1}
    num_out = fixed.get(head.head_type, len(labels))
    tensors = {}
    for name, shape in tensor_shapes(head.settings, 32, num_out).items():
        layer, _, kind = name.partition(".")
        tensors[name] = values(f"{head.modules[int(layer)]}.{kind}", shape)
    return HeadWeights(HeadSpec(head.head_type, head.settings, tuple(labels), class_name), tensors)


def write_case(case: dict[str, Any], directory: Path) -> Folder:
    """A golden case as the folder that its library saved, tensors filled from their names."""
    tensors = {name: values(name, shape) for name, shape in case["tensors"].items()}
    return write_folder(case["config"], tensors, directory)


def write_folder(
    config: dict[str, Any], tensors: dict[str, torch.Tensor], directory: Path
) -> Folder:
    """A head's config and tensors under the file names of their format."""
    directory.mkdir(parents=True, exist_ok=True)
    if "peft_type" in config:
        (directory / "adapter_config.json").write_text(json.dumps(config))
        save_file(tensors, directory / "adapter_model.safetensors")
    else:
        (directory / "head_config.json").write_text(json.dumps(config))
        torch.save(tensors, directory / "pytorch_model_head.bin")
    return Folder(directory, str(directory.name))
