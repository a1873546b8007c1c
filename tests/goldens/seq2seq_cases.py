"""What the goldens of encoder-decoders hold: configurations by case, and their words.

Data only: read by the generator and by nobody else.
"""

from __future__ import annotations

FAMILIES = {"bart": "Bart", "mbart": "MBart", "plbart": "PLBart", "t5": "T5", "mt5": "MT5"}
"""Backbones to the prefix of their classes."""
_LORA = "lora[r=4,alpha=2,attn_matrices=['q','k','v'],intermediate_lora=True,output_lora=True]"
_PREFIX = "prefix_tuning[prefix_length=3,bottleneck_size=4]"
CROSS = "double_seq_bn[reduction_factor=8,cross_adapter=True"
CORE = {
    "seq_bn": "seq_bn[reduction_factor=8]",
    "double_seq_bn": "double_seq_bn[reduction_factor=8]",
    "cross_seq_bn": f"{CROSS}]",
    "par_bn": "par_bn[reduction_factor=8]",
    "lora": _LORA,
    "ia3": "ia3[alpha=1,attn_matrices=['q','k','v'],output_lora=True]",
    "prefix_tuning": _PREFIX,
    "loreft": "loreft[r=2]",
    "seq_bn_inv": "seq_bn_inv[reduction_factor=8]",
}
"""On every backbone, by case."""
MORE = {
    "cross_par_bn": f"{CROSS},is_parallel=True,scaling=0.5]",
    "cross_gated": f"{CROSS},use_gating=True,original_ln_before=True]",
    "cross_left_out": f"{CROSS},leave_out=[1,2]]",
    "compacter": "compacter[reduction_factor=8,phm_dim=2,cross_adapter=True]",
    "factor_map": "double_seq_bn[reduction_factor={'3':16,'default':8}]",
    "lora_left_out": "lora[r=2,alpha=3,leave_out=[1,2]]",
    "lora_gated": "lora[r=2,attn_matrices=['q','v'],use_gating=True]",
    "dora": "lora[r=2,alpha=3,use_dora=True]",
    "prefix_flat": "prefix_tuning[prefix_length=3,flat=True]",
    "prefix_gated": f"{_PREFIX[:-1]},use_gating=True,shared_gating=False]",
    "prefix_decoder": f"{_PREFIX[:-1]},encoder_prefix=False]",
    "prefix_no_cross": f"{_PREFIX[:-1]},cross_prefix=False]",
    "prefix_left_out": f"{_PREFIX[:-1]},leave_out=[1,2]]",
    "prefix_late": f"{_PREFIX[:-1]},leave_out=[0,2]]",
    "reft_border": "noreft[r=2,layers=[1,2],suffix_positions=2]",
    "mam": f"{_PREFIX}|par_bn[reduction_factor=8]",
    "unipelt": f"{_PREFIX[:-1]},use_gating=True]|seq_bn[reduction_factor=8,use_gating=True]"
    "|lora[r=2,alpha=2,use_gating=True]",
}
"""On `bart` and `t5` beside that."""
FLEX = {
    "classification": {"num_labels": 3},
    "multilabel_classification": {"num_labels": 3, "layers": 1, "multilabel": True},
    "question_answering": {},
    "seq2seq_lm": {},
}
MAKERS = {"multilabel_classification": "classification", "question_answering": "qa"}
STATIC = {
    "ForSequenceClassification": "classification",
    "ForQuestionAnswering": "question_answering",
    "ForConditionalGeneration": "seq2seq_lm",
}
PEFT_NAMES = {
    "bart": ("q_proj", "v_proj", "fc2", ["fc2"]),
    "t5": ("q", "v", "wo", ["wo"]),
}
WORDS = {
    "lora": "lora",
    "dora": "dora",
    "ia3": "ia3",
    "prefix": "prefix_tuning",
    "loreft": "reft",
    "reft": "reft",
    "seq_bn_inv": "invertible",
    "compacter": "compacter",
    "mam": "union",
    "unipelt": "union",
}
"""What the support table calls a case, by the first of these that its name starts with."""


def word(case: str) -> str:
    """What the support table calls the method of a case."""
    return next((name for start, name in WORDS.items() if case.startswith(start)), "bottleneck")
