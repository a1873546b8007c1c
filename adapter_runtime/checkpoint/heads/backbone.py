"""The language model head that a backbone's own folder holds, for tasks without one of their own.

Source: transformers `*ForMaskedLM`, `*ForCausalLM`, `*LMHeadModel`, `*ForConditionalGeneration`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.heads.classes import StaticHead
from adapter_runtime.checkpoint.heads.language import build_language, static_language
from adapter_runtime.checkpoint.heads.static import LANGUAGE_TASKS, STATIC_HEADS, language_heads
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.heads.table import HEADS
from adapter_runtime.ledger import Ledger
from adapter_runtime.types import HeadWeights, Kind, Note

LANGUAGE_KINDS = frozenset({Kind.FILL_MASK, Kind.TEXT_GENERATION})


def trained_kind(config: Mapping[str, Any]) -> Kind | None:
    """The kind of the language model head that a PEFT adapter was trained under, if it was.

    Args:
        config: the adapter's `adapter_config.json`.
    """
    if str(config.get("task_type")) in LANGUAGE_TASKS:
        return Kind.TEXT_GENERATION
    mapping = config.get("auto_mapping")
    name = str(mapping.get("base_model_class")) if isinstance(mapping, dict) else ""
    head = STATIC_HEADS.get(name)
    return HEADS[head.head_type].kinds[0] if head is not None and head.is_language else None


def backbone_head(
    facts: BackboneFacts, kind: Kind, options: Mapping[str, Any]
) -> HeadWeights | None:
    """The backbone's own language model head; None where its folder holds none. Blocks.

    Args:
        facts: the backbone.
        kind: `fill-mask` or `text-generation`.
        options: the task's.

    Raises:
        RejectedAdapter: the head is there and does not fit.
    """
    for class_name, head in language_heads(facts.model_type).items():
        # An encoder's causal head sees what comes after; no next token can be told from it.
        if kind not in HEADS[head.head_type].kinds or _is_second(head, facts):
            continue
        roots = frozenset(name.split(".")[0] for name in _names(head))
        tensors = facts.stored(roots) if facts.stored is not None else {}
        if not _is_there(head, tensors, facts):
            continue
        ledger = Ledger({name: tensors[name] for name in tensors if _belongs(name, head)})
        layout = replace(static_language(head, facts, ledger), name=class_name)
        found = build_language(layout, ledger, facts, options, f"backbone {class_name}")
        if problems := ledger.problems():
            raise RejectedAdapter(facts.model_name, problems)
        note = Note("backbone_head", f"The head is the backbone's own, as of {class_name}.")
        return replace(found, notes=(*found.notes, note))
    return None


def _names(head: StaticHead) -> tuple[str, ...]:
    return (*head.modules, *head.norms, *filter(None, (head.spare_bias,)))


def _belongs(name: str, head: StaticHead) -> bool:
    modules = (*head.modules, *head.norms)
    return name == head.spare_bias or name.rpartition(".")[0] in modules


def _is_second(head: StaticHead, facts: BackboneFacts) -> bool:
    return head.head_type == "causal_lm" and facts.summary == "first"


def _is_there(head: StaticHead, tensors: Mapping[str, Tensor], facts: BackboneFacts) -> bool:
    """All layers but the last are stored; so is the last, unless it is the embeddings."""
    *layers, decoder = head.modules
    is_tied = facts.config.get("tie_word_embeddings", True) is not False
    has_layers = all(f"{layer}.weight" in tensors for layer in layers)
    return has_layers and (is_tied or f"{decoder}.weight" in tensors)
