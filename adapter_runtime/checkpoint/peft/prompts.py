"""PEFT's prompt learning: prompt tuning, P-tuning and prefix tuning.

PEFT saves what its encoders computed, so that P-tuning is a prompt and a projected prefix is a
prefix. Virtual tokens stand before all others and have position numbers; prefixes move the
position numbers of a row's own tokens on.

Source: `PeftModel.get_prompt` and the task models' `forward` of peft 0.21.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.ledger import Ledger
from adapter_runtime.methods.configuration import BadConfig, positive_integer
from adapter_runtime.methods.prefix import PrefixSettings, PrefixTuning
from adapter_runtime.methods.prefix_files import (
    KeySizes,
    check_places,
    is_in_encoder,
    key_sizes,
    split_layers,
)
from adapter_runtime.methods.prompt import Prompt, PromptSettings
from adapter_runtime.types import MODEL_LEVEL, Part, PlugPoint, Site

_VECTORS = "prompt_embeddings"
_WORDS = PlugPoint(MODEL_LEVEL, Site.WORD_EMBEDDINGS)
_TYPED_TASKS = frozenset(("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS"))
"""Task types whose PEFT models hand token types on, or whose heads say that they do not."""

_WITHOUT_PAST = frozenset(
    ("albert", "deberta", "deberta-v2", "distilbert", "esm", "modernbert", "mpnet", "nomic_bert")
)
"""Families whose models take no past keys and values, so that PEFT cannot run a prefix."""

Read = Callable[[Mapping[str, Any], Ledger, BackboneFacts], list[Part]]


def read_prompt_learning(
    config: Mapping[str, Any], ledger: Ledger, facts: BackboneFacts
) -> list[Part]:
    """The Parts of a checkpoint whose `peft_type` is in `PROMPT_TYPES`.

    Raises:
        BadConfig: a configuration value cannot be used.
    """
    if config.get("task_type") is None:
        message = (
            "task_type is null, and then PEFT runs the model without its virtual tokens; set it "
            "to the task that they were trained for, such as FEATURE_EXTRACTION."
        )
        raise BadConfig(message, "unsupported_config")
    return PROMPT_TYPES[str(config["peft_type"])](config, ledger, facts)


def _read_prompt(config: Mapping[str, Any], ledger: Ledger, facts: BackboneFacts) -> list[Part]:
    return _prompt(config, facts, _take_vectors(config, ledger, facts))


def _read_multitask(config: Mapping[str, Any], ledger: Ledger, facts: BackboneFacts) -> list[Part]:
    if config.get("num_tasks", 1) != 1:
        message = (
            "A multi-task prompt is another prompt for each of its tasks, and a request names "
            "none; train it on to a target task, which gives num_tasks: 1."
        )
        raise BadConfig(message, "unsupported_config")
    vectors = _take_vectors(config, ledger, facts)
    rank = positive_integer(config.get("num_ranks", 1), "num_ranks")
    columns = ledger.take("prefix_task_cols", (1, len(vectors), rank))
    rows = ledger.take("prefix_task_rows", (1, rank, facts.embedding_size))
    return _prompt(config, facts, vectors * (columns @ rows)[0]) if ledger.is_sound else []


def _take_vectors(config: Mapping[str, Any], ledger: Ledger, facts: BackboneFacts) -> Tensor:
    _check_prompt_places(config, facts)
    return ledger.take(_VECTORS, (_num_tokens(config), facts.embedding_size))


def _prompt(config: Mapping[str, Any], facts: BackboneFacts, vectors: Tensor) -> list[Part]:
    settings = PromptSettings(reads_types=_reads_types(config))
    return [Part(Prompt.name, _WORDS, settings, {"vectors": vectors})]


def _check_prompt_places(config: Mapping[str, Any], facts: BackboneFacts) -> None:
    if facts.config.get("is_encoder_decoder"):
        message = (
            "PEFT's prompts lengthen the encoder's rows and not the decoder's, which "
            f"{facts.model_type} backbones cannot do here; train prefix tuning with SEQ_2_SEQ_LM, "
            "or another kind of adapter, such as LoRA."
        )
        raise BadConfig(message, "unsupported_point")
    if _WORDS not in facts.paths:
        message = f"{facts.model_type} has no place before its embeddings for virtual tokens."
        raise BadConfig(message, "unsupported_point")
    if config.get("num_transformer_submodules", 1) not in (None, 1):
        raise BadConfig("num_transformer_submodules must be 1 for a model with one stack.")


def _num_tokens(config: Mapping[str, Any]) -> int:
    return positive_integer(config.get("num_virtual_tokens"), "num_virtual_tokens")


def _reads_types(config: Mapping[str, Any]) -> bool:
    return str(config["task_type"]) in _TYPED_TASKS


def _read_prefix(config: Mapping[str, Any], ledger: Ledger, facts: BackboneFacts) -> list[Part]:
    _check_caches(config, facts)
    check_places(facts)
    length, sizes, points = _num_tokens(config), _sizes(config, facts), _prefixed(facts)
    num_layers = _size(config, "num_layers", len(points))
    if num_layers != len(points):
        message = (
            f"num_layers is {num_layers}; this backbone has {len(points)} layers that take a "
            "prefix, so the checkpoint belongs to another backbone."
        )
        raise BadConfig(message, "wrong_backbone")
    vectors = ledger.take(_VECTORS, (length, num_layers * 2 * sizes.width))
    if not ledger.is_sound:
        return []
    layers = split_layers(vectors, num_layers, sizes, length)
    settings = PrefixSettings(shift=length, reads_types=_reads_types(config))
    chosen = _layer_numbers(config, num_layers)
    return [
        Part(
            PrefixTuning.name,
            point,
            settings,
            dict(zip(("keys", "values"), layers[layer], strict=True)),
        )
        for point, layer in zip(points, chosen, strict=True)
    ]


def _check_caches(config: Mapping[str, Any], facts: BackboneFacts) -> None:
    if facts.model_type in _WITHOUT_PAST:
        message = (
            f"PEFT cannot run a prefix on {facts.model_type} models, which take no past keys and "
            "values; train prompt tuning or another kind of adapter, such as LoRA."
        )
        raise BadConfig(message, "unsupported_point")
    is_seq2seq = config.get("num_transformer_submodules") == 2
    if facts.config.get("is_encoder_decoder") and not is_seq2seq:
        # PEFT itself fails on T5, and on BART cross attention reads the decoder's own keys.
        message = (
            f"With task_type {str(config['task_type'])[:200]} PEFT's prefix shares one cache with "
            f"the cross attention of {facts.model_type} models; train it with SEQ_2_SEQ_LM, or "
            "another kind of adapter, such as LoRA."
        )
        raise BadConfig(message, "unsupported_config")


def _prefixed(facts: BackboneFacts) -> list[PlugPoint]:
    """The points that get a prefix: self-attention, of the decoder where there are two stacks."""
    return sorted(
        point
        for point in facts.attention_paths
        if point.site is Site.KEYS_VALUES and not is_in_encoder(point, facts)
    )


def _layer_numbers(config: Mapping[str, Any], num_layers: int) -> list[int]:
    """Which of the saved layers each point gets.

    With two stacks PEFT lays the saved layers out twice, one after another, and reads two at
    a time: the first of a pair for self-attention, the second for a cache that it empties again.
    """
    step = 2 if config.get("num_transformer_submodules") == 2 else 1
    return [layer * step % num_layers for layer in range(num_layers)]


def _sizes(config: Mapping[str, Any], facts: BackboneFacts) -> KeySizes:
    """The key sizes that the file states, which must be those of the backbone."""
    sizes = key_sizes(facts)
    width = _size(config, "token_dim", sizes.width)
    heads = _size(config, "num_attention_heads", sizes.num_heads)
    if (width, heads) != (sizes.width, sizes.num_heads):
        message = (
            f"Its prefixes have {heads} heads and width {width}; this backbone's keys have "
            f"{sizes.num_heads} and {sizes.width}."
        )
        raise BadConfig(message, "wrong_backbone")
    return sizes


def _size(config: Mapping[str, Any], key: str, own: int) -> int:
    """A size that the file states, or the backbone's own for null, as PEFT fills it in."""
    stated = config.get(key)
    return own if stated is None else positive_integer(stated, key)


PROMPT_TYPES: Mapping[str, Read] = {
    "PROMPT_TUNING": _read_prompt,
    "P_TUNING": _read_prompt,
    "MULTITASK_PROMPT_TUNING": _read_multitask,
    "PREFIX_TUNING": _read_prefix,
}
"""Values of `peft_type` whose files hold vectors, and no tensors of the model's modules."""
