"""The modules that PEFT targets where a configuration names none.

Source: the `TRANSFORMERS_MODELS_TO_*_MAPPING` tables of peft 0.21.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

Defaults = Mapping[str, tuple[str, ...]]
"""Path endings by `config.model_type`."""

_PROJECTIONS = ("q_proj", "v_proj")

LORA: Defaults = MappingProxyType(
    dict.fromkeys(("bert", "roberta", "xlm-roberta", "electra"), ("query", "value"))
    | dict.fromkeys(("t5", "mt5"), ("q", "v"))
    | dict.fromkeys(
        ("bart", "llama", "mistral", "mixtral", "gemma", "gemma2", "qwen2", "qwen3", "gpt_neo"),
        _PROJECTIONS,
    )
    | {
        "deberta": ("in_proj",),
        "deberta-v2": ("query_proj", "value_proj"),
        "gpt2": ("c_attn",),
        "phi": (*_PROJECTIONS, "fc1", "fc2"),
    }
)
VERA: Defaults = MappingProxyType({**LORA, "phi": _PROJECTIONS})
ADALORA: Defaults = MappingProxyType(
    dict.fromkeys(("llama", "gemma", "gemma2", "qwen2", "qwen3", "gpt_neo"), _PROJECTIONS)
    | {
        "bert": ("query", "value"),
        "roberta": ("query", "key", "value", "dense"),
        "deberta": ("in_proj",),
        "deberta-v2": ("query_proj", "key_proj", "value_proj", "dense"),
        "t5": ("q", "k", "v", "o", "wi", "wo"),
        "mt5": ("q", "k", "v", "o", "wi_0", "wi_1", "wo"),
        "bart": ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
        "gpt2": ("c_attn",),
    }
)
IA3: Defaults = MappingProxyType(
    dict.fromkeys(("bert", "roberta"), ("key", "value", "output.dense"))
    | dict.fromkeys(("llama", "mistral"), ("k_proj", "v_proj", "down_proj"))
    | dict.fromkeys(("gemma", "gemma2", "qwen2", "qwen3"), (*_PROJECTIONS, "down_proj"))
    | {
        "deberta": ("in_proj", "output.dense"),
        "deberta-v2": ("key_proj", "value_proj", "output.dense"),
        "t5": ("k", "v", "wo"),
        "mt5": ("k", "v", "wi_1"),
        "bart": (*_PROJECTIONS, "fc2"),
        "gpt2": ("c_attn", "mlp.c_proj"),
        "mixtral": ("k_proj", "v_proj", "w2"),
        "phi": (*_PROJECTIONS, "fc2"),
    }
)
IA3_FEEDFORWARD: Defaults = MappingProxyType(
    dict.fromkeys(("bert", "roberta", "deberta", "deberta-v2"), ("output.dense",))
    | dict.fromkeys(
        ("llama", "mistral", "gemma", "gemma2", "qwen2", "qwen3"),
        ("down_proj",),
    )
    | {
        "t5": ("wo",),
        "mt5": (),
        "bart": ("fc2",),
        "gpt2": ("mlp.c_proj",),
        "mixtral": ("w2",),
        "phi": ("fc2",),
    }
)
_AROUND = ("input_layernorm", "post_attention_layernorm")
LN_TUNING: Defaults = MappingProxyType(
    dict.fromkeys(("llama", "mistral", "gemma"), (*_AROUND, "norm"))
    | dict.fromkeys(("t5", "mt5"), ("layer_norm", "final_layer_norm"))
    | dict.fromkeys(("qwen2", "qwen3"), ("post_attention_layernorm",))
    | {
        "bart": ("self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"),
        "gpt2": ("ln_1", "ln_2", "ln_f"),
    }
)
