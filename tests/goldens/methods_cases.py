"""What the method goldens hold: one entry per checkpoint, and stacks of them.

Data only: read by the generator and by nobody else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Config = dict[str, Any]

ARCHITECTURES = ("bert", "roberta", "xlm-roberta", "distilbert", "electra")
"""Those that the `adapters` library knows; PEFT adds MPNet."""

_SEQ = "seq_bn[reduction_factor=4]"
_DOUBLE = "double_seq_bn[reduction_factor=4]"
_PAR = "par_bn[reduction_factor=4]"
_LORA = "lora[r=4,alpha=5,attn_matrices=['q','k','v'],intermediate_lora=True,output_lora=True]"
_IA3 = "ia3[alpha=2,attn_matrices=['q','k','v'],output_lora=True]"

EVERYWHERE = {
    "seq_bn": _SEQ,
    "double_seq_bn": _DOUBLE,
    "par_bn": _PAR,
    "lora_all": _LORA,
    "lora_gated": f"{_LORA[:-1]},use_gating=True]",
    "ia3_all": _IA3,
    "ia3_gated": f"{_IA3[:-1]},use_gating=True]",
}


def _seq(**changes: Any) -> dict[str, Any]:
    return _flags(original_ln_before=True, **changes)


def _double(**changes: Any) -> dict[str, Any]:
    return _flags(**{"mh_adapter": True, "non_linearity": "swish"} | changes)


def _flags(**changes: Any) -> dict[str, Any]:
    plain = {
        "mh_adapter": False,
        "output_adapter": True,
        "reduction_factor": 4,
        "non_linearity": "relu",
    }
    return plain | changes


ON_BERT: dict[str, Any] = {
    "scaled_par_bn": "scaled_par_bn[reduction_factor=4]",
    "adapter_plus": _seq(
        original_ln_after=False,
        residual_before_ln=False,
        scaling="channel",
        non_linearity="gelu",
    ),
    "ln_before": _seq(ln_before=True),
    "ln_after": _seq(ln_after=True),
    "ln_both": _double(ln_before=True, ln_after=True),
    "residual_then_ln": _double(ln_after=True, adapter_residual_before_ln=True),
    "residual_no_ln": _seq(adapter_residual_before_ln=True),
    "residual_after_ln": _seq(residual_before_ln=False),
    "residual_after_no_ln": _double(residual_before_ln=False),
    "residual_post_add": _seq(residual_before_ln="post_add"),
    "post_add_no_ln_after": _seq(residual_before_ln="post_add", original_ln_after=False),
    "no_ln_at_all": _double(original_ln_after=False),
    "gated": _seq(use_gating=True),
    "gated_ln_both": _double(use_gating=True, ln_before=True, ln_after=True),
    "gated_parallel": _flags(is_parallel=True, use_gating=True, scaling=2.0),
    "parallel_mh": _double(is_parallel=True, scaling=0.5),
    "parallel_ln_both": _flags(is_parallel=True, ln_before=True, ln_after=True),
    "parallel_no_ln": _flags(is_parallel=True, original_ln_after=False, original_ln_before=True),
    "parallel_channel": _flags(is_parallel=True, scaling="channel"),
    "learned": _seq(scaling="learned"),
    "scaled": _double(scaling=2.5),
    "mh_only": _flags(mh_adapter=True, output_adapter=False, original_ln_before=True),
    "factor_map": _double(reduction_factor={"0": 8, "default": 4}),
    "factor_below_one": _seq(reduction_factor=0.5),
    "factor_float": _seq(reduction_factor=5.3),
    "factor_huge": _seq(reduction_factor=100),
    "left_out": _double(leave_out=[0]),
    "leakyrelu": _seq(non_linearity="leakyrelu"),
    "gelu": _seq(non_linearity="gelu"),
    "gelu_new": _seq(non_linearity="GELU_new"),
    "tanh": _seq(non_linearity="tanh"),
    "linear": _seq(non_linearity="linear"),
    "mish": _double(non_linearity="mish"),
    "quick_gelu": _double(non_linearity="quick_gelu"),
    "sigmoid": _double(non_linearity="sigmoid"),
    "relu2": _double(non_linearity="relu2"),
    "laplace": _double(non_linearity="laplace"),
    "lora_default": "lora[alpha=16]",
    "lora_left_out": "lora[r=2,leave_out=[1],attn_matrices=['k'],output_lora=True]",
    "lora_rank_one": "lora[r=1,alpha=3]",
    "ia3_default": "ia3",
    "union": "lora[r=4,alpha=2]|seq_bn[reduction_factor=8,use_gating=True]",
}

PEFT_LINEARS = {
    "bert": ("query", "value", "attention.output.dense"),
    "roberta": ("query", "value", "attention.output.dense"),
    "xlm-roberta": ("query", "value", "attention.output.dense"),
    "electra": ("query", "value", "attention.output.dense"),
    "distilbert": ("q_lin", "v_lin", "out_lin"),
    "mpnet": ("attn.q", "attn.v", "attn.o"),
}
PEFT_FEEDFORWARD = dict.fromkeys(PEFT_LINEARS, "output.dense") | {"distilbert": "lin2"}


def peft_cases(model_type: str) -> dict[str, dict[str, Any]]:
    """PEFT configurations for one architecture; `task` and `kind` are ours."""
    query, value, out = PEFT_LINEARS[model_type]
    feedforward = PEFT_FEEDFORWARD[model_type]
    lora = {"r": 4, "lora_alpha": 5, "target_modules": [query, value]}
    everything = lora | {"target_modules": "all-linear"}
    cases = {
        "lora": lora,
        "lora_rslora": lora | {"use_rslora": True},
        "lora_patterns": lora
        | {
            "target_modules": [query, value, out],
            "rank_pattern": {query: 2, rf"^.*\.1\..*{value.split('.')[-1]}": 5},
            "alpha_pattern": {f"layer.0.*{out.split('.')[-1]}": 7, value: 3},
        },
        "lora_all_linear": everything,
        "lora_regex": lora | {"target_modules": rf".*\.1\..*({query.split('.')[-1]})"},
        "lora_excluded": everything | {"exclude_modules": [out, "pooler.dense"]},
        "lora_layers": lora | {"layers_to_transform": [1], "layers_pattern": "layer"},
        "lora_bias_only": lora | {"bias": "lora_only"},
        "lora_bias_all": lora | {"bias": "all"},
        "lora_bias": lora | {"lora_bias": True, "target_modules": [query, out]},
        "ia3": {
            "kind": "IA3",
            "target_modules": [query, value, feedforward],
            "feedforward_modules": [feedforward],
        },
        "seq_cls_lora": lora | {"task": "SEQ_CLS"},
        "seq_cls_bias_all": lora | {"task": "SEQ_CLS", "bias": "all"},
        "token_cls_lora": lora | {"task": "TOKEN_CLS"},
        "qa_ia3": {
            "kind": "IA3",
            "task": "QUESTION_ANS",
            "target_modules": [value, out],
            "feedforward_modules": [out],
        },
    }
    if model_type != "distilbert":
        cases["seq_cls_all_linear"] = everything | {"task": "SEQ_CLS"}
    return cases


STACKS = {
    "two_sequential": ("seq_bn", "double_seq_bn"),
    "houlsby_last": ("double_seq_bn", "seq_bn", "left_out"),
    "no_ln_last": ("seq_bn", "adapter_plus"),
    "two_parallel": ("par_bn", "gated_parallel"),
    "parallel_last": ("seq_bn", "par_bn"),
    "parallel_first": ("par_bn", "seq_bn"),
    "two_lora": ("lora_default", "lora_rank_one"),
    "two_ia3": ("ia3_default", "ia3_all"),
    "lora_then_ia3": ("lora_default", "ia3_default"),
    "methods": ("seq_bn", "lora_all"),
}


def _first_version(config: Config) -> None:
    del config["version"]
    config["type"] = "text_task"
    config["config"] |= {
        "invertible_adapter": {
            "block_type": "nice",
            "non_linearity": "relu",
            "reduction_factor": 2,
        }
    }
    for key in ("phm_layer", "use_gating", "is_parallel", "scaling", "inv_adapter"):
        config["config"].pop(key, None)


def _by_name(config: Config) -> None:
    config["config"] = "pfeiffer[reduction_factor=4]"


def _bare(config: Config) -> None:
    config.update(hidden_size=None, model_name=None, model_class="BertModel")


_NO_PREFIX = {"bert.": ""}
_TASK = {
    "attention.output.adapters": "attention.output.attention_text_task_adapters",
    "output.adapters": "output.layer_text_task_adapters",
}
# Source case, edit of its configuration, renames in tensor names, options of the task.
LEGACY: dict[str, tuple[str, Callable[[Config], object], dict[str, str], Config]] = {
    "legacy_first_format": ("gelu", _first_version, _TASK, {}),
    "legacy_first_houlsby": ("mish", _first_version, _TASK, {}),
    "legacy_gelu": ("gelu", lambda config: config.pop("version"), {}, {}),
    "legacy_by_name": ("seq_bn", _by_name, {}, {}),
    "legacy_bare": ("double_seq_bn", _bare, _NO_PREFIX, {}),
    "legacy_lora_1_0": (
        "lora_default",
        lambda config: config.update(version="adapters.1.0.1"),
        {},
        {},
    ),
    "legacy_lora_0_2": (
        "lora_default",
        lambda config: config.update(version="0.2.2"),
        {},
        {"lora_scaling": "adapters"},
    ),
    "legacy_lora_3_2": ("lora_default", lambda config: config.update(version="3.2.1"), {}, {}),
}
