"""What the golden set of the decoder families holds: one entry per checkpoint.

Data only: read by the generator and by nobody else.
"""

from __future__ import annotations

from typing import Any

FAMILIES = {
    "gpt2": "GPT2",
    "gpt2-padded": "GPT2",
    "llama": "Llama",
    "llama-padded": "Llama",
    "mistral": "Mistral",
    "qwen2": "Qwen2",
    "qwen3": "Qwen3",
}
PADDED = ("gpt2-padded", "llama-padded")
"""These differ in their heads only."""
ODD_ROWS = {
    "gpt2": ((7, 8, 9), (12,)),
    "gpt2-padded": ((7, 4, 8, 9), (4, 4), (9,), (4, 9, 4, 4)),
    "llama": ((7, 8, 9), (12,)),
    "llama-padded": ((7, 0, 8, 9), (0, 0), (9,), (0, 9, 0, 0)),
    "mistral": ((7, 8, 9, 10, 11), (7, 8, 9, 10, 11, 12), (12,)),
}
"""Rows with padding tokens in all places, of one token, and as long as a window."""
HOOKED = ("qwen2", "qwen3")
"""The `adapters` library hooks these from outside; they have no flexible class."""

_LINEARS = "intermediate_lora=True,output_lora=True"
_PREFIX = "prefix_length=3,bottleneck_size=8"
_GATED = "use_gating=True"

METHODS: dict[str, tuple[str, Any]] = {
    "seq_bn": ("bottleneck", "seq_bn[reduction_factor=8]"),
    "double_seq_bn": ("bottleneck", "double_seq_bn[reduction_factor=8]"),
    "par_bn": ("bottleneck", "par_bn[reduction_factor=8]"),
    "double_par_bn": ("bottleneck", "scaled_par_bn[reduction_factor=8,mh_adapter=True]"),
    "bn_gated": ("bottleneck", f"double_seq_bn[reduction_factor=8,{_GATED},ln_before=True]"),
    "bn_ln_after": ("bottleneck", "seq_bn[reduction_factor=8,ln_after=True,leave_out=[0]]"),
    "bn_z_residual": (
        "bottleneck",
        "double_seq_bn[reduction_factor=8,original_ln_before=True,residual_before_ln=False]",
    ),
    "seq_bn_inv": ("invertible", "seq_bn_inv[reduction_factor=8]"),
    "compacter": ("compacter", "compacter[reduction_factor=8,phm_dim=2]"),
    "lora_qv": ("lora", "lora[r=4,alpha=6]"),
    "lora_k": ("lora", "lora[r=4,alpha=6,attn_matrices=['k']]"),
    "lora_all": ("lora", f"lora[r=4,alpha=5,attn_matrices=['v','q','k'],{_LINEARS}]"),
    "lora_intermediate": ("lora", "lora[r=4,selfattn_lora=False,intermediate_lora=True]"),
    "lora_output": ("lora", "lora[r=4,selfattn_lora=False,output_lora=True]"),
    "lora_gated": ("lora", f"lora[r=4,alpha=5,{_LINEARS},{_GATED}]"),
    "ia3": ("ia3", "ia3"),
    "ia3_gated": ("ia3", f"ia3[alpha=2,{_LINEARS},{_GATED}]"),
    "loreft": ("reft", "loreft[r=2,prefix_positions=2,suffix_positions=1]"),
}
"""By name: what the support table calls it, and the library's configuration."""

NATIVE: dict[str, tuple[str, Any]] = {
    "prefix_tuning": ("prefix_tuning", f"prefix_tuning[{_PREFIX}]"),
    "prefix_flat": ("prefix_tuning", "prefix_tuning_flat[prefix_length=2]"),
    "prefix_gated": ("prefix_tuning", f"prefix_tuning[{_PREFIX},{_GATED},shared_gating=False]"),
    "mam": ("union", f"prefix_tuning[{_PREFIX}]|par_bn[reduction_factor=8]"),
    "unipelt": (
        "union",
        f"prefix_tuning[{_PREFIX},{_GATED}]|seq_bn[reduction_factor=8,{_GATED}]"
        f"|lora[r=4,alpha=2,{_GATED}]",
    ),
}
"""Only where the library has classes of its own for the family."""

UNMERGED: dict[str, tuple[str, Any]] = {
    "dora": ("dora", "dora[r=4,alpha=6]"),
    "vera": ("vera", "vera[r=4,attn_matrices=['q']]"),
}
"""Only where q, k and v are linears of their own."""

HOOKED_UNION = {
    "union": ("union", "seq_bn[reduction_factor=8]|lora[r=4,alpha=2]"),
}

STACKS = {"bottlenecks": ("seq_bn", "double_seq_bn"), "inverse": ("seq_bn_inv", "par_bn")}

FLEX_HEADS: dict[str, dict[str, Any]] = {
    "classification": {"head_type": "classification", "layers": 2},
    "multilabel_classification": {"head_type": "multilabel_classification", "layers": 1},
    "tagging": {"head_type": "tagging", "layers": 1},
    "question_answering": {"head_type": "question_answering", "layers": 1},
    "causal_lm": {"head_type": "causal_lm", "layers": 1},
    "causal_lm_deep": {"head_type": "causal_lm", "layers": 2},
}
STATIC_HEADS = {
    "classification": "ForSequenceClassification",
    "tagging": "ForTokenClassification",
    "question_answering": "ForQuestionAnswering",
    "causal_lm": "ForCausalLM",
}

_NAMES = {
    "gpt2": {"words": "wte", "projection": "c_proj", "layers": "h", "norms": ["ln_1", "ln_f"]},
    "other": {
        "words": "embed_tokens",
        "projection": "down_proj",
        "layers": "layers",
        "norms": ["input_layernorm", "norm"],
    },
}
_ATTENTION = {"gpt2": ["c_attn"], "other": ["q_proj", "v_proj"]}
_IA3 = {
    "gpt2": {"target_modules": ["c_attn", "mlp.c_proj"], "feedforward_modules": ["mlp.c_proj"]},
    "other": {
        "target_modules": ["k_proj", "v_proj", "down_proj"],
        "feedforward_modules": ["down_proj"],
    },
}


def peft_cases(backbone: str) -> dict[str, dict[str, Any]]:
    """The PEFT configurations of a backbone, by name; `kind` and `task` are not PEFT's."""
    key = "gpt2" if backbone.startswith("gpt2") else "other"
    lora = {"kind": "lora", "r": 4, "lora_alpha": 6, "target_modules": _ATTENTION[key]}
    names = {"prompt": "PROMPT_TUNING", "p_tuning": "P_TUNING", "prefix": "PREFIX_TUNING"}
    virtual = {
        name: {"kind": kind, "num_virtual_tokens": 3, "encoder_hidden_size": 8}
        for name, kind in names.items()
    }
    for options in (virtual["prompt"], virtual["prefix"]):
        del options["encoder_hidden_size"]
    return {
        "lora": lora,
        "lora_default": {"kind": "lora", "r": 4, "lora_alpha": 6},
        "lora_all_linear": lora | {"target_modules": "all-linear", "lora_alpha": 2},
        "dora": lora | {"kind": "dora", "use_dora": True},
        "ia3": {"kind": "ia3", **_IA3[key]},
        "ia3_default": {"kind": "ia3"},
        **virtual,
        **{
            f"{name}_{task.lower()}": options | {"task": task}
            for task in ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS", "CAUSAL_LM")
            for name, options in {"lora": lora, **virtual}.items()
            if name != "p_tuning"
        },
        **(_peft_variants(lora, _NAMES[key]) if backbone in ("gpt2", "llama", "qwen2") else {}),
        "lora_all_linear_seq_cls": lora
        | {"target_modules": "all-linear", "lora_alpha": 2, "task": "SEQ_CLS"},
    }


def _peft_variants(lora: dict[str, Any], names: dict[str, Any]) -> dict[str, dict[str, Any]]:
    words, projection = names["words"], names["projection"]
    return {
        "rslora": lora | {"use_rslora": True, "target_modules": [projection]},
        "lora_layer": lora | {"layers_to_transform": [1], "layers_pattern": names["layers"]},
        "lora_pattern": lora
        | {"target_modules": rf".*\.1\..*{projection}", "rank_pattern": {projection: 2}},
        "lora_bias": lora | {"lora_bias": True, "init_lora_weights": True},
        "lora_words": lora | {"target_modules": [words, projection]},
        "bias_lora_only": lora | {"bias": "lora_only"},
        "bias_all": lora | {"bias": "all"},
        "saved_words": lora | {"modules_to_save": [words]},
        "ln_tuning": {"kind": "ln_tuning", "target_modules": names["norms"]},
        "vera": {"kind": "vera", "r": 4, "target_modules": [projection]},
        "adalora": {
            "kind": "adalora",
            "init_r": 4,
            "target_r": 4,
            "total_step": 10,
            "target_modules": lora["target_modules"],
        },
    }
