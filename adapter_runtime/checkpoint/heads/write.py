"""New flexible heads, and writing heads as `adapters` reads them.

Source: `adapters` 1.3.0 `PredictionHead.build`, `PredictionHeadLoader.save`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.heads.adapterhub import CONFIG_FILE, PICKLE_FILE
from adapter_runtime.checkpoint.heads.build import LABELLED, default_labels
from adapter_runtime.checkpoint.heads.flex import (
    flexible_scale,
    language_indices,
    layer_indices,
    stack_settings,
)
from adapter_runtime.checkpoint.heads.parsing import STORED
from adapter_runtime.checkpoint.heads.static import FLEX_TYPES, family_of, summary_of
from adapter_runtime.errors import SettingsError
from adapter_runtime.heads.dependency_parsing import ParsingSettings
from adapter_runtime.heads.language import DECODER, LanguageSettings
from adapter_runtime.heads.layers import StackSettings, tensor_shapes
from adapter_runtime.types import HeadSpec, HeadWeights

_FORMAT = "adapters.1.3.0"
"""The format's own version, which readers look at."""
_INIT_STD = 0.02
STACKS = (
    "classification",
    "multilabel_classification",
    "multiple_choice",
    "tagging",
    "question_answering",
)
"""Head types that can be added new: those that need no words of the backbone."""


def new_head(
    name: str,
    head_type: str,
    settings: Mapping[str, Any],
    labels: Sequence[str] | None,
    facts: BackboneFacts,
    generator: torch.Generator | None = None,
) -> HeadWeights:
    """A freshly initialised flexible head: weights N(0, 0.02), biases 0.

    Args:
        name: the head's name.
        head_type: a flexible head type, such as `classification`.
        settings: the arguments of the library's `add_*_head`: `num_labels`, `layers`, ….
        labels: label names by id; `LABEL_i` by default.
        facts: the backbone.
        generator: where the random numbers come from.

    Raises:
        RejectedAdapter: a setting is out of range.
        SettingsError: the head reads a pooler that the backbone lacks.
    """
    if head_type not in STACKS:
        raise SettingsError(f"A new head may be one of {', '.join(STACKS)}, not {head_type!r}.")
    summary, marker = summary_of(facts, is_static=False)
    stack = stack_settings({**settings, "head_type": head_type}, name)
    scale = flexible_scale(head_type, facts)
    stack = replace(stack, summary=summary, marker=marker, scale=scale)
    if stack.use_pooler and not facts.has_pooler:
        raise SettingsError(f"use_pooler: {facts.model_name} has no trained pooler.")
    num_out = _num_out(head_type, settings, labels)
    tensors = {
        key: torch.zeros(shape) if key.endswith("bias") else _random(shape, generator)
        for key, shape in tensor_shapes(stack, facts.hidden_size, num_out).items()
    }
    is_labelled = head_type in LABELLED
    names = tuple(labels or (default_labels(num_out) if is_labelled else ()))
    if is_labelled and len(names) != num_out:
        raise SettingsError(f"id2label names {len(names)} labels, num_labels is {num_out}.")
    spec = HeadSpec(head_type, stack, names, _digest(name, head_type, stack, names, tensors), name)
    return HeadWeights(spec, tensors)


def write_head(head: HeadWeights, directory: Path, facts: BackboneFacts, name: str) -> None:
    """Write `head_config.json` and the head's weights; overwrites both files.

    Args:
        head: a head with weights.
        directory: an existing folder.
        facts: the backbone that the head belongs to.
        name: the name to save it under; may hold no dot.

    Raises:
        SettingsError: the `adapters` library has no form for it.
    """
    family = family_of(facts.model_type)
    able = FLEX_TYPES.get(family or "", ())
    if head.spec.head_type not in able or not _is_writable(head):
        raise SettingsError(
            f"The adapters library has no such {head.spec.head_type} head for {facts.model_type}; "
            + (
                f"heads with weights of the types {', '.join(able)} can be written."
                if able
                else f"heads on {', '.join(sorted(FLEX_TYPES))} can be written."
            )
        )
    if reason := _unspoken(head, facts):
        raise SettingsError(f"The adapters library cannot hold this head: {reason}.")
    if not name or "." in name:
        raise SettingsError(f"A head's name may not be empty or hold a dot: {name!r}.")
    config = {
        "config": _config(head),
        "hidden_size": facts.hidden_size,
        "model_class": f"{family}AdapterModel",
        "model_name": facts.model_name,
        "model_type": facts.model_type,
        "name": name,
        "version": _FORMAT,
    }
    (directory / CONFIG_FILE).write_text(json.dumps(config, indent=2, sort_keys=True), "utf-8")
    torch.save(_named_tensors(head, name, facts), directory / PICKLE_FILE)


def _unspoken(head: HeadWeights, facts: BackboneFacts) -> str | None:
    """What a head does that no file says; None where all is said."""
    settings = head.spec.settings
    has_types = int(facts.config.get("type_vocab_size") or 0) > 1
    if isinstance(settings, StackSettings) and not settings.reads_types and has_types:
        return "it takes no token types, and the library always gives them"
    if not isinstance(settings, LanguageSettings):
        return None
    if not settings.inverts:
        return "mlm_inverse is false, and the library's flexible heads always take it back"
    if not settings.is_tied and facts.config.get("tie_word_embeddings", True) is not False:
        return "its vocabulary is its own, and the library would write it into the embeddings"
    return None


def _is_writable(head: HeadWeights) -> bool:
    """Flexible heads have no LayerNorm between plain layers, and always read the usual token."""
    settings = head.spec.settings
    if not head.tensors and not isinstance(settings, LanguageSettings):
        return False
    return not isinstance(settings, StackSettings) or settings.norm_eps is None


def _config(head: HeadWeights) -> dict[str, Any]:
    config: dict[str, Any] = {
        "head_type": head.spec.head_type,
        "label2id": {label: number for number, label in enumerate(head.spec.labels)} or None,
    }
    settings = head.spec.settings
    if isinstance(settings, ParsingSettings):
        return config | {"num_labels": settings.num_labels}
    if isinstance(settings, LanguageSettings):
        return config | _language_config(head, settings)
    return config | _stack_config(head, cast(StackSettings, settings))


def _language_config(head: HeadWeights, settings: LanguageSettings) -> dict[str, Any]:
    config = {
        "vocab_size": settings.vocab_size,
        "layers": settings.layers,
        "activation_function": settings.activation,
        "layer_norm": settings.norm_eps is not None,
        "bias": settings.bias,
        "shift_labels": head.spec.head_type == "causal_lm",
    }
    if head.spec.head_type != "seq2seq_lm":
        config["embedding_size"] = settings.width
    return config


def _stack_config(head: HeadWeights, settings: StackSettings) -> dict[str, Any]:
    config: dict[str, Any] = {
        "layers": settings.layers,
        "activation_function": settings.activation,
        "dropout_prob": None,
    }
    if head.spec.head_type == "multiple_choice":
        config["num_choices"] = len(head.spec.labels) or 2
        config["use_pooler"] = settings.use_pooler
    else:
        config["num_labels"] = len(head.tensors[f"{settings.layers - 1}.weight"])
    if head.spec.head_type in ("classification", "multilabel_classification"):
        config |= {"use_pooler": settings.use_pooler, "bias": settings.bias}
    return config


def _named_tensors(head: HeadWeights, name: str, facts: BackboneFacts) -> dict[str, Tensor]:
    stored = {_stored(head, key): tensor for key, tensor in head.tensors.items()}
    settings = head.spec.settings
    if isinstance(settings, LanguageSettings) and settings.is_tied and facts.word_embeddings:
        stored[_stored(head, DECODER)] = facts.word_embeddings().float()
    if isinstance(settings, StackSettings):
        # A class's head may read states that the flexible one reads scaled.
        factor = settings.scale / flexible_scale(head.spec.head_type, facts)
        stored[_stored(head, "0.weight")] = stored[_stored(head, "0.weight")] * factor
    return {
        f"heads.{name}.{key}": tensor.detach().cpu().clone().contiguous()
        for key, tensor in stored.items()
    }


def _stored(head: HeadWeights, key: str) -> str:
    """Where a canonical tensor stands among a flexible head's modules."""
    settings = head.spec.settings
    if isinstance(settings, ParsingSettings):
        return STORED[key]
    layer, _, kind = key.partition(".")
    if not isinstance(settings, LanguageSettings):
        return f"{layer_indices(cast(StackSettings, settings))[int(layer)]}.{kind}"
    linears, norms = language_indices(settings)
    if layer == "decoder":
        return f"{linears[-1]}.{kind}"
    if kind.startswith("norm."):
        return f"{norms[int(layer)]}.{kind.removeprefix('norm.')}"
    return f"{linears[int(layer)]}.{kind}"


def _num_out(head_type: str, settings: Mapping[str, Any], labels: Sequence[str] | None) -> int:
    fixed = {"multiple_choice": 1, "question_answering": 2}
    return fixed.get(head_type) or int(settings.get("num_labels") or len(labels or ()) or 2)


def _random(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return torch.empty(shape).normal_(0.0, _INIT_STD, generator=generator)


def _digest(
    name: str,
    head_type: str,
    stack: StackSettings,
    labels: tuple[str, ...],
    tensors: Mapping[str, Tensor],
) -> str:
    total = hashlib.sha256(repr((name, head_type, stack, labels)).encode())
    for tensor in tensors.values():
        total.update(tensor.numpy().tobytes())
    return total.hexdigest()
