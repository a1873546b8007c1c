"""LoRA and DoRA on the layers of a prediction head, folded into them when they are read.

PEFT adapts a head's linears like any others. Their own weights are in the file where PEFT saves
the vocabulary's, or in the backbone's folder; those of a new classifier were random and are lost.

Source: `save_embedding_layers` of peft 0.21.2.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.heads.static import language_heads
from adapter_runtime.checkpoint.peft.file import PeftFile
from adapter_runtime.checkpoint.peft.lora import rank_and_scale
from adapter_runtime.ledger import Ledger
from adapter_runtime.methods.configuration import boolean

_FACTOR = ".lora_A.weight"


def foldable_modules(paths: Collection[str], facts: BackboneFacts) -> frozenset[str]:
    """The modules of a head with factors on them whose own weights are to be had.

    Args:
        paths: the tensors in the file, by their paths in the task class.
        facts: the backbone.
    """
    adapted = {path.removesuffix(_FACTOR) for path in paths if path.endswith(_FACTOR)}
    outside = {module for module in adapted if not _is_in_base(module, facts)}
    return frozenset(module for module in outside if _is_known(module, paths, facts))


def _is_in_base(module: str, facts: BackboneFacts) -> bool:
    """Whether a module is the backbone's own; a folder may hold that under its name there too."""
    return module in facts.linears or module.split(".")[0] in (facts.prefix, *facts.other_prefixes)


def _is_known(module: str, paths: Collection[str], facts: BackboneFacts) -> bool:
    return f"{module}.base_layer.weight" in paths or _own_weight(module, facts) is not None


def _own_weight(module: str, facts: BackboneFacts) -> Tensor | None:
    """A layer's weight as the backbone brings it."""
    if (stored := _stored(f"{module}.weight", facts)) is not None:
        return stored
    vocabularies = {head.modules[-1] for head in language_heads(facts.model_type).values()}
    is_tied = facts.config.get("tie_word_embeddings", True) is not False
    if module in vocabularies and is_tied and facts.word_embeddings is not None:
        return facts.word_embeddings()
    return None


def _stored(name: str, facts: BackboneFacts) -> Tensor | None:
    """A head's tensor in the backbone's folder."""
    return facts.stored(frozenset({name.split(".")[0]})).get(name) if facts.stored else None


def fold(
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    facts: BackboneFacts,
) -> tuple[Mapping[str, Tensor], Ledger]:
    """The tensors of a head with all that can be folded in, and what was wrong with the factors.

    Args:
        config: `adapter_config.json`.
        tensors: by their paths in the task class.
        facts: the backbone.

    Raises:
        BadConfig: a configuration value cannot be used.
    """
    ledger, made = Ledger(tensors), {}
    file = PeftFile(config, facts, ledger, "")
    modules = foldable_modules(tensors, facts)
    for module in sorted(modules):
        made[f"{module}.weight"] = _folded(module, file)
        bias = tensors.get(f"{module}.base_layer.bias", _stored(f"{module}.bias", facts))
        if bias is not None:
            made[f"{module}.bias"] = bias
    inside = tuple(f"{module}.{part}" for module in modules for part in ("lora_", "base_layer."))
    rest = {path: value for path, value in tensors.items() if not path.startswith(inside)}
    return rest | made, ledger


def _folded(module: str, file: PeftFile) -> Tensor:
    saved = f"{module}.base_layer.weight"
    own = _own_weight(module, file.facts)
    weight = file.ledger.peek(saved) if saved in file.ledger else own
    assert weight is not None, "Only modules with known weights are folded. This is a bug."
    width_out, width_in = weight.shape
    rank, scale = rank_and_scale(module, file)
    take = file.ledger.take
    down = take(f"{module}.lora_A.weight", (rank, width_in))
    up = take(f"{module}.lora_B.weight", (width_out, rank))
    weight = weight.float() + scale * up @ down
    if not boolean(file.config, "use_dora"):
        return weight
    magnitude = take(f"{module}.lora_magnitude_vector", (width_out,))
    length: Tensor = torch.linalg.vector_norm(weight, dim=1)
    return weight * (magnitude / length).unsqueeze(1)
