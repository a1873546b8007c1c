"""Tiny random backbones on disk, one per architecture."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import torch
from transformers import AutoConfig, AutoModel, PreTrainedModel

from adapter_runtime.backbone.backbone import Backbone
from adapter_runtime.backbone.load import load_backbone
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Row

SIZES = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
}
DISTILBERT = {
    "vocab_size": 99,
    "dim": 32,
    "n_layers": 2,
    "n_heads": 4,
    "hidden_dim": 64,
    "max_position_embeddings": 64,
}
CONFIGS = {
    "bert": SIZES,
    "roberta": SIZES | {"type_vocab_size": 1, "pad_token_id": 1},
    "xlm-roberta": SIZES | {"type_vocab_size": 1, "pad_token_id": 1},
    "electra": SIZES | {"embedding_size": 16},
    "distilbert": DISTILBERT,
    "mpnet": SIZES,
}
PACKED = tuple(name for name in CONFIGS if name != "mpnet")


@cache
def saved(model_type: str) -> tuple[Path, PreTrainedModel]:
    """A folder with a random model, norms and biases included, and the plain model itself."""
    config = AutoConfig.for_model(model_type, **CONFIGS[model_type])
    torch.manual_seed(0)
    model = AutoModel.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.add_(torch.randn_like(value) * (0.1 if "embeddings" in name else 0.05))
    folder = Path(mkdtemp(prefix=f"tiny-{model_type}-"))
    model.save_pretrained(folder)
    return folder, model


def open_tiny(model_type: str) -> Backbone:
    """The tiny model as a Backbone."""
    folder, _ = saved(model_type)
    return load_backbone(Folder(folder, model_type), torch.device("cpu"), torch.float32)


def random_row(length: int, seed: int, *, has_types: bool = False) -> Row:
    """A row of so many tokens, none of them padding."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(3, 99, (length,), generator=generator).tolist()
    types = tuple(int(place >= length // 2) for place in range(length)) if has_types else None
    return Row(tuple(tokens), types)


def plain_states(model_type: str, row: Row) -> torch.Tensor:
    """What the plain Hugging Face model answers for one row alone."""
    _, model = saved(model_type)
    inputs = {"input_ids": torch.tensor([row.input_ids])}
    if row.type_ids is not None:
        inputs["token_type_ids"] = torch.tensor([row.type_ids])
    with torch.no_grad():
        return model(**inputs).last_hidden_state[0]
