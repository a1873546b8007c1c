"""What the `config` of a flexible head says: layers, labels, and where its tensors stand.

Source: `adapters` 1.3.0 `heads/base.py`, `heads/language_modeling.py`; adapter-transformers 2.1
to 3.2, where dropouts of probability 0 were left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.heads.build import HeadLayout
from adapter_runtime.checkpoint.heads.classes import LANGUAGE_TYPES
from adapter_runtime.checkpoint.heads.language import LanguageLayout, output_scale
from adapter_runtime.checkpoint.heads.parsing import PARSING, ParsingLayout
from adapter_runtime.checkpoint.heads.static import summary_of
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.heads.language import LanguageSettings
from adapter_runtime.heads.layers import StackSettings
from adapter_runtime.ledger import Ledger
from adapter_runtime.methods.configuration import BadConfig, boolean
from adapter_runtime.types import Note

MAX_LAYERS, MAX_LABELS = 64, 1 << 24

DEFAULT_LAYERS: Mapping[str, int] = {
    "classification": 2,
    "multilabel_classification": 2,
    "multiple_choice": 2,
    "tagging": 1,
    "question_answering": 1,
    "masked_lm": 2,
    "causal_lm": 1,
    "seq2seq_lm": 1,
}
"""The flexible head types that are made of layers, and how many where a config names none."""

_KNOWN_TYPES = (*DEFAULT_LAYERS, PARSING)
_PER_TOKEN = ("tagging", "question_answering")
_OTHER_TYPES = ("image_classification",)
_EPS = 1e-12


def flexible_scale(head_type: str, facts: BackboneFacts) -> float:
    """The factor on the states before a flexible head; classes have none before their answers."""
    is_scaled = head_type in _PER_TOKEN or head_type in LANGUAGE_TYPES
    return output_scale(facts) if is_scaled else 1.0


def flex_layout(
    name: str, config: Mapping[str, Any], ledger: Ledger, facts: BackboneFacts, where: str
) -> HeadLayout | LanguageLayout | ParsingLayout:
    """The layout of a flexible head.

    Args:
        name: the head's name in the file.
        config: its own configuration, with `head_type`.
        ledger: the file's tensors.
        facts: the backbone.
        where: the folder, for errors.

    Raises:
        RejectedAdapter: the head type cannot be served, or a value is out of range.
    """
    head_type = check_type(config, where)
    _pass_over_other_heads(ledger, name)
    if head_type == PARSING:
        return ParsingLayout(name, num_labels(config, where), label_map(config, where))
    if head_type in LANGUAGE_TYPES:
        return _language_layout(name, config, facts, where)
    settings = stack_settings(config, where)
    summary, marker = summary_of(facts, is_static=False)
    scale = flexible_scale(head_type, facts)
    settings = replace(settings, summary=summary, marker=marker, scale=scale)
    indices = _layer_indices(ledger, f"heads.{name}.", settings)
    return HeadLayout(
        name=name,
        head_type=head_type,
        settings=settings,
        prefixes=tuple(f"heads.{name}.{index}" for index in indices),
        num_labels=num_labels(config, where),
        labels=label_map(config, where),
    )


def check_type(config: Mapping[str, Any], where: str) -> str:
    """The head type, where it is one that can be served.

    Raises:
        RejectedAdapter: it is not.
    """
    head_type = str(config.get("head_type"))
    if head_type not in _KNOWN_TYPES:
        code = "unsupported_head" if head_type in _OTHER_TYPES else "unknown_head"
        known = ", ".join(_KNOWN_TYPES)
        message = f"Heads of type {head_type!r:.200} cannot be served; known are {known}."
        raise RejectedAdapter(where, [Note(code, message)])
    return head_type


def stack_settings(config: Mapping[str, Any], where: str) -> StackSettings:
    """The layer stack that a flexible head's `config` describes.

    Raises:
        RejectedAdapter: the head type is no layer stack, or a value is out of range.
    """
    head_type = check_type(config, where)
    layers = config.get("layers", DEFAULT_LAYERS.get(head_type, 1))
    return StackSettings(
        layers=_count(layers, "layers", where, MAX_LAYERS),
        activation=_activation(config, "tanh", where),
        use_pooler=_flag(config, "use_pooler", False, where) and head_type not in _PER_TOKEN,
        bias=_flag(config, "bias", True, where),
    )


def _language_layout(
    name: str, config: Mapping[str, Any], facts: BackboneFacts, where: str
) -> LanguageLayout:
    settings = language_settings(config, facts, where)
    linears, norms = language_indices(settings)
    return LanguageLayout(
        name,
        str(config["head_type"]),
        settings,
        tuple(f"heads.{name}.{index}" for index in linears),
        tuple(f"heads.{name}.{index}" for index in norms),
    )


def language_settings(
    config: Mapping[str, Any], facts: BackboneFacts, where: str
) -> LanguageSettings:
    """The language model head that a flexible head's `config` describes.

    Raises:
        RejectedAdapter: a value is out of range.
    """
    head_type = str(config["head_type"])
    is_masked = head_type == "masked_lm"
    has_norm = _flag(config, "layer_norm", is_masked, where)
    own = facts.hidden_size if head_type == "seq2seq_lm" else facts.embedding_size
    vocabulary = config.get("vocab_size") or facts.vocab_size
    return LanguageSettings(
        layers=_count(config.get("layers", DEFAULT_LAYERS[head_type]), "layers", where, MAX_LAYERS),
        width=_count(config.get("embedding_size") or own, "embedding_size", where, MAX_LABELS),
        vocab_size=_count(vocabulary, "vocab_size", where, MAX_LABELS),
        activation=_activation(config, "gelu" if is_masked else None, where),
        norm_eps=float(facts.config.get("layer_norm_eps", _EPS)) if has_norm else None,
        bias=_flag(config, "bias", is_masked, where),
        scale=output_scale(facts),
    )


def language_indices(settings: LanguageSettings) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Where a flexible language model head's linear layers and LayerNorms stand."""
    has_norm, has_activation = settings.norm_eps is not None, bool(settings.activation)
    step = 1 + has_activation + has_norm
    linears = tuple(layer * step for layer in range(settings.layers))
    return linears, tuple(index + step - 1 for index in linears[:-1] if has_norm)


def layer_indices(settings: StackSettings, dropouts: bool = True) -> tuple[int, ...]:
    """Where a flexible head's linear layers stand among its modules.

    Args:
        settings: the stack.
        dropouts: whether a dropout module precedes each layer.
    """
    step = 1 + dropouts + bool(settings.activation)
    return tuple(layer * step + dropouts for layer in range(settings.layers))


def _layer_indices(ledger: Ledger, prefix: str, settings: StackSettings) -> tuple[int, ...]:
    """Versions 2.2 to 3.1 left out dropouts of probability 0, which moved every index."""
    present = {
        name.removeprefix(prefix).partition(".")[0]
        for name in ledger.names()
        if name.startswith(prefix)
    }
    shifted = layer_indices(settings, dropouts=False)
    if present == {str(index) for index in shifted}:
        return shifted
    return layer_indices(settings)


def _pass_over_other_heads(ledger: Ledger, name: str) -> None:
    """Saving head `a` also wrote `ab`: the library compares the beginnings of names."""
    others = [
        key
        for key in ledger.names()
        if key.startswith(f"heads.{name}") and not key.startswith(f"heads.{name}.")
    ]
    ledger.alias(others, "another head")


def label_map(config: Mapping[str, Any], where: str) -> dict[int, str] | None:
    """Label names by id; JSON turned the ids of `id2label` into strings.

    Raises:
        RejectedAdapter: the map is none of ids and names.
    """
    by_id, by_label = config.get("id2label"), config.get("label2id")
    for key, value in (("id2label", by_id), ("label2id", by_label)):
        if value is not None and not isinstance(value, dict):
            raise bad_config(
                where, f"{key} must be an object of ids and names, not {value!r:.200}."
            )
    try:
        if by_label and not by_id:
            by_id = {number: label for label, number in by_label.items()}
        return {int(key): str(label) for key, label in (by_id or {}).items()} or None
    except (TypeError, ValueError, OverflowError) as error:
        message = f"The label map is not one of ids and names ({error}); mend head_config.json."
        raise bad_config(where, message) from error


def num_labels(config: Mapping[str, Any], where: str) -> int:
    """How many labels a flexible head's `config` says that it has.

    Raises:
        RejectedAdapter: no number that can be.
    """
    return _count(config.get("num_labels", 2), "num_labels", where, MAX_LABELS)


def _activation(config: Mapping[str, Any], default: str | None, where: str) -> str | None:
    name = config.get("activation_function", default) or None
    if name is not None and not isinstance(name, str):
        raise bad_config(where, f"activation_function must be a name, not {name!r:.200}.")
    return name


def _flag(config: Mapping[str, Any], key: str, default: bool, where: str) -> bool:
    try:
        return boolean(config, key, default)
    except BadConfig as error:
        raise bad_config(where, str(error)) from error


def _count(value: Any, key: str, where: str, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise bad_config(where, f"{key} must be a whole number of 1 to {most}, not {value!r:.200}.")
    return value


def bad_config(where: str, message: str) -> RejectedAdapter:
    """The error for a head's configuration that makes no sense."""
    return RejectedAdapter(where, [Note("bad_head_config", message)])
