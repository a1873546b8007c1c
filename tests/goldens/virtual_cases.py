"""What `make_virtual` records: configurations, Stacks, heads and tasks, by name."""

from __future__ import annotations

from typing import Any

import adapters
import peft

from tests.goldens.models import MODELS

FAMILIES = {
    "bert": "Bert",
    "roberta": "Roberta",
    "xlm-roberta": "XLMRoberta",
    "electra": "Electra",
    "distilbert": "DistilBert",
    "mpnet": "MPNet",
}
"""Backbones to the prefix of their task classes; the `adapters` library lacks the last."""

PREFIX = {"prefix_length": 3, "bottleneck_size": 8}
PROMPT = {"prompt_length": 3}
BOTTLENECK = {
    "mh_adapter": False,
    "output_adapter": True,
    "reduction_factor": 8,
    "non_linearity": "relu",
    "original_ln_before": True,
}
NICE = {"inv_adapter": "nice", "inv_adapter_reduction_factor": 2}


def prefix(**options: Any) -> Any:
    """A prefix configuration, small."""
    return adapters.PrefixTuningConfig(**PREFIX | options)


def prompt(**options: Any) -> Any:
    """A prompt configuration, small."""
    return adapters.PromptTuningConfig(**PROMPT | options)


def bottleneck(**options: Any) -> Any:
    """A bottleneck configuration, small."""
    return adapters.BnConfig(**BOTTLENECK | options)


def union(**gates: Any) -> Any:
    """A union in the manner of UniPELT."""
    return adapters.ConfigUnion(
        prefix(prefix_length=2, **gates),
        bottleneck(**gates),
        adapters.LoRAConfig(r=4, alpha=2, **gates),
    )


CONFIGS: dict[str, tuple[str, Any]] = {
    "prefix": ("prefix tuning", prefix()),
    "prefix_flat": ("prefix tuning, flat", prefix(flat=True)),
    "prefix_gated": ("prefix tuning, gated", prefix(use_gating=True)),
    "prefix_gated_apart": (
        "prefix tuning, gated",
        prefix(use_gating=True, shared_gating=False, prefix_length=5, non_linearity="relu"),
    ),
    "prefix_last_layer": ("prefix tuning", prefix(flat=True, leave_out=[0])),
    "prompt": ("prompt tuning", prompt()),
    "prompt_after_bos": ("prompt tuning", prompt(prompt_length=4, combine="prefix_after_bos")),
    "invertible": ("invertible adapter", bottleneck(**NICE)),
    "invertible_gelu": (
        "invertible adapter",
        bottleneck(
            inv_adapter="nice",
            inv_adapter_reduction_factor=4,
            non_linearity="gelu",
            mh_adapter=True,
            original_ln_before=False,
        ),
    ),
    "task": ("bottleneck", bottleneck()),
    "prefix_in_union": ("union", union()),
    "prefix_in_gated_union": ("union", union(use_gating=True)),
    "prefix_beside_parallel": (
        "union",
        adapters.ConfigUnion(prefix(), bottleneck(is_parallel=True, scaling=4.0)),
    ),
    "prompt_beside_invertible": ("union", adapters.ConfigUnion(prompt(), bottleneck(**NICE))),
}
STACKS = {
    "prefixes": ("prefix", "prefix_gated_apart"),
    "prefix_task": ("prefix_flat", "task"),
    "prompt_task": ("prompt", "task"),
    "prompt_prefix": ("prompt_after_bos", "prefix_gated"),
    "task_prompt": ("task", "prompt"),
    "language_task": ("invertible", "task"),
    "task_language": ("task", "invertible"),
}
HEADS = {"classification": 3, "tagging": 3, "question_answering": 2}
HEADED = ("prefix", "prompt", "prompt_after_bos", "invertible")
MASKED = ("prompt_after_bos", "invertible", "prompt_beside_invertible")
"""Adapters with a head for masked words, which lies beyond the inverse of a block."""

TASKS = {
    "FEATURE_EXTRACTION": ("Model", None),
    "SEQ_CLS": ("ForSequenceClassification", "classification"),
    "TOKEN_CLS": ("ForTokenClassification", "tagging"),
    "QUESTION_ANS": ("ForQuestionAnswering", "question_answering"),
}


def peft_configs(backbone: str) -> dict[str, tuple[str, Any, dict[str, Any]]]:
    """PEFT's configurations of a backbone: what the table calls them, class and options."""
    sizes = MODELS[backbone].config
    width: dict[str, int] = {}
    if "embedding_size" in sizes:
        width = {"token_dim": sizes["embedding_size"]}
    if "dim" in sizes:
        width = {"token_dim": sizes["dim"], "num_attention_heads": sizes["n_heads"]}
    tokens = {"num_virtual_tokens": 3}
    mlp = tokens | width | {"encoder_hidden_size": 8}
    found = {
        "prompt": ("PEFT prompt tuning", peft.PromptTuningConfig, tokens | width),
        "p_tuning": ("PEFT P-tuning", peft.PromptEncoderConfig, mlp),
        "p_tuning_lstm": (
            "PEFT P-tuning",
            peft.PromptEncoderConfig,
            mlp | {"encoder_reparameterization_type": "LSTM"},
        ),
    }
    if backbone == "bert":
        options = tokens | {"num_tasks": 1, "num_ranks": 2}
        found["multitask"] = ("PEFT prompt tuning", peft.MultitaskPromptTuningConfig, options)
    if backbone not in ("distilbert", "mpnet"):
        found["prefix"] = ("PEFT prefix tuning", peft.PrefixTuningConfig, tokens)
        found["prefix_projected"] = (
            "PEFT prefix tuning",
            peft.PrefixTuningConfig,
            tokens | {"prefix_projection": True, "encoder_hidden_size": 8},
        )
    return found
