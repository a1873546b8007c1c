"""What the golden set of the encoder families holds: one entry per checkpoint.

Data only: read by the generator and by nobody else.
"""

from __future__ import annotations

from typing import Any

_MATRICES = "attn_matrices=['q','k','v']"
_LINEARS = f"{_MATRICES},intermediate_lora=True,output_lora=True"
_PREFIX = "prefix_length=3,bottleneck_size=8"
_GATED = "use_gating=True"

METHODS: dict[str, tuple[str, str]] = {
    "seq_bn": ("bottleneck", "seq_bn[reduction_factor=4]"),
    "double_seq_bn": ("bottleneck", "double_seq_bn[reduction_factor=4]"),
    "par_bn": ("bottleneck", "par_bn[reduction_factor=4]"),
    "lora_qkv": ("lora", f"lora[r=4,alpha=5,{_MATRICES}]"),
    "lora_qv": ("lora", "lora[r=4,alpha=6]"),
    "lora_all": ("lora", f"lora[r=4,alpha=5,{_LINEARS}]"),
    "lora_gated": ("lora", f"lora[r=4,alpha=5,{_LINEARS},{_GATED}]"),
    "ia3_all": ("ia3", f"ia3[alpha=2,{_LINEARS}]"),
    "ia3_gated": ("ia3", f"ia3[alpha=2,{_LINEARS},{_GATED}]"),
    "ia3": ("ia3", "ia3"),
    "seq_bn_inv": ("invertible", "seq_bn_inv[reduction_factor=4]"),
    "compacter": ("compacter", "compacter[reduction_factor=4,phm_dim=2]"),
    "loreft": ("reft", "loreft[r=2,prefix_positions=2,suffix_positions=1]"),
    "dora": ("dora", "dora[r=4,alpha=6]"),
    "vera": ("vera", "vera[r=4,init_weights_seed=5]"),
    "prefix_tuning": ("prefix_tuning", f"prefix_tuning[{_PREFIX}]"),
    "prefix_flat": ("prefix_tuning", "prefix_tuning_flat[prefix_length=2]"),
    "prefix_gated": ("prefix_tuning", f"prefix_tuning[{_PREFIX},{_GATED},shared_gating=False]"),
    "prompt_tuning": ("prompt_tuning", "prompt_tuning[prompt_length=3]"),
    "prompt_after_bos": (
        "prompt_tuning",
        "prompt_tuning[prompt_length=2,combine='prefix_after_bos']",
    ),
    "mam": ("union", f"prefix_tuning[{_PREFIX}]|par_bn[reduction_factor=4]"),
    "unipelt": (
        "union",
        f"prefix_tuning[{_PREFIX},{_GATED}]|seq_bn[reduction_factor=4,{_GATED}]"
        f"|lora[r=4,alpha=2,{_GATED}]",
    ),
    "left_out": ("bottleneck", "seq_bn[reduction_factor=4,leave_out=[1]]"),
}
"""By name: what the support table calls it, and the library's configuration."""

PROMPTS = {"prompt_tuning": (0, 3), "prompt_after_bos": (1, 2)}
"""Where virtual tokens lie, and how many."""

NORM_BEFORE: dict[str, Any] = {
    "mh_adapter": True,
    "output_adapter": True,
    "reduction_factor": 4,
    "non_linearity": "relu",
    "original_ln_before": True,
    "residual_before_ln": False,
}
"""Where an interface model's attention adapters meet a LayerNorm: the last layer's, everywhere."""

WITHOUT: dict[str, tuple[str, ...]] = {
    # The library takes these and fails in its forward.
    "deberta-v2": ("prompt_tuning", "prompt_after_bos"),
    # It loses the shared rule of a bare interface model's Compacter, too.
    "modernbert": (
        "compacter",
        "prefix_tuning",
        "prefix_flat",
        "prefix_gated",
        "prompt_tuning",
        "prompt_after_bos",
        "mam",
        "unipelt",
    ),
}
MERGED = frozenset({"deberta", "modernbert"})
"""Query, key and value are one linear."""
NOT_MERGED = ("dora", "vera")
"""Methods that the library lacks for one linear of three."""

ADAPTER_FAMILIES = {
    "albert": "Albert",
    "albert-groups": "Albert",
    "deberta": "Deberta",
    "deberta-v2": "DebertaV2",
    "deberta-v3": "DebertaV2",
    "modernbert": "ModernBert",
}
POOLED = ("albert", "albert-groups")
"""Backbones whose flexible heads may read a pooler."""
"""Backbones that the `adapters` library knows, and their class names."""
PEFT_FAMILIES = ADAPTER_FAMILIES | {
    "modernbert-mean": "ModernBert",
    "camembert": "Camembert",
    "xlm-roberta-xl": "XLMRobertaXL",
    "esm": "Esm",
}

FLEX_HEADS: dict[str, tuple[str, dict[str, Any]]] = {
    "flex_classification": ("classification", {"num_labels": 3}),
    "flex_classification_pooled": ("classification", {"num_labels": 3, "use_pooler": True}),
    "flex_multilabel_classification": ("multilabel_classification", {"num_labels": 3}),
    "flex_tagging": ("tagging", {"num_labels": 3}),
    "flex_question_answering": ("question_answering", {}),
    "flex_multiple_choice": ("multiple_choice", {"num_choices": 2}),
    "flex_multiple_choice_pooled": ("multiple_choice", {"num_choices": 2, "use_pooler": True}),
    "flex_masked_lm": ("masked_lm", {}),
}
"""By name: the head, and how users add it."""

STATIC_HEADS = {
    "ForSequenceClassification": "classification",
    "ForTokenClassification": "tagging",
    "ForQuestionAnswering": "question_answering",
    "ForMultipleChoice": "multiple_choice",
    "ForMaskedLM": "masked_lm",
}
STATIC_MISSING = {("deberta", "ForMultipleChoice")}

_QUERY_VALUE = ["query", "value"]
_QUERY_VALUE_PROJ = ["query_proj", "value_proj"]
PEFT_TARGETS = {
    "albert": _QUERY_VALUE,
    "albert-groups": _QUERY_VALUE,
    "deberta": ["in_proj"],
    "deberta-v2": _QUERY_VALUE_PROJ,
    "deberta-v3": _QUERY_VALUE_PROJ,
    "modernbert": ["Wqkv"],
    "modernbert-mean": ["Wqkv", "mlp.Wo"],
    "camembert": _QUERY_VALUE,
    "xlm-roberta-xl": _QUERY_VALUE,
    "esm": _QUERY_VALUE,
}
PEFT_IA3 = {
    "albert": (["key", "value", "ffn_output"], ["ffn_output"]),
    "deberta": (["in_proj", "output.dense"], ["output.dense"]),
    "deberta-v2": (["key_proj", "value_proj", "output.dense"], ["output.dense"]),
    "modernbert": (["Wqkv", "mlp.Wo"], ["mlp.Wo"]),
    "roberta": (["key", "value", "output.dense"], ["output.dense"]),
}
"""By model type (`roberta` for its kin): targets, and which of them are feed-forward."""
PEFT_TASKS = {
    "FEATURE_EXTRACTION": "Model",
    "SEQ_CLS": "ForSequenceClassification",
    "TOKEN_CLS": "ForTokenClassification",
    "QUESTION_ANS": "ForQuestionAnswering",
}
PEFT_MISSING = {("esm", "QUESTION_ANS")}
