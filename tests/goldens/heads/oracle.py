"""Running the libraries' own models on the golden inputs, in the generators' environment."""

from __future__ import annotations

from typing import Any

import torch
import transformers

from tests.goldens.filling import fill_backbone
from tests.goldens.heads.backbones import CONFIGS, HAS_TYPES, ROWS, TYPES, values


def plain_config(model_type: str, **more: Any) -> Any:
    """A tiny configuration."""
    return transformers.AutoConfig.for_model(model_type, **CONFIGS[model_type], **more)


def run(model: torch.nn.Module, model_type: str) -> list[Any]:
    """One answer per input row, each row alone."""
    outputs = []
    for ids, types in zip(ROWS, TYPES, strict=True):
        inputs = {"input_ids": torch.tensor([ids])}
        if model_type in HAS_TYPES:
            inputs["token_type_ids"] = torch.tensor([types])
        with torch.no_grad():
            outputs.append(model(**inputs, return_dict=True))
    return outputs


def run_choices(model: torch.nn.Module, model_type: str, num_choices: int) -> list[float]:
    """Logits of `num_choices` choices: the first row with its last token replaced."""
    choices = [[*ROWS[0][:-1], 3 + choice] for choice in range(num_choices)]
    inputs = {"input_ids": torch.tensor([choices])}
    if model_type in HAS_TYPES:
        inputs["token_type_ids"] = torch.tensor([[TYPES[0]] * num_choices])
    with torch.no_grad():
        logits = model(**inputs, return_dict=True).logits
    return logits[0].tolist()


def answers(model: torch.nn.Module, model_type: str, head_type: str, num_choices: int = 2) -> Any:
    """What the tests compare with, by head type."""
    if head_type == "multiple_choice":
        return run_choices(model, model_type, num_choices)
    outputs = run(model, model_type)
    if head_type == "question_answering":
        return [[out.start_logits[0].tolist(), out.end_logits[0].tolist()] for out in outputs]
    return [out.logits[0].tolist() for out in outputs]


def fill_task_model(model: Any) -> None:
    """Base parameters by their bare names, head parameters by their full names."""
    fill_backbone(model.base_model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith(model.base_model_prefix + "."):
                parameter.copy_(values(name, parameter.shape))


def rounded(value: Any) -> Any:
    """Numbers with seven digits, which is what float32 holds."""
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return value
