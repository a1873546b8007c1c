"""What the set `hub_methods` holds: configurations of the `adapters` library, by case.

Data only: read by the generator and by nobody else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Config = dict[str, Any]

_PP = "compacter++[reduction_factor=4,"
_BOTH = "compacter[reduction_factor=4,"
_LORA = "r=4,alpha=5,attn_matrices=['q','k','v']"
_ALL = f"{_LORA},intermediate_lora=True,output_lora=True"

EVERYWHERE: dict[str, tuple[str, str]] = {
    "compacter_plus_plus": ("compacter", f"{_PP}phm_dim=4]"),
    "compacter": ("compacter", f"{_BOTH}phm_dim=2]"),
    "dora": ("dora", f"dora[{_ALL}]"),
    "vera": ("vera", f"vera[{_LORA}]"),
    "loreft": ("loreft", "loreft[r=3]"),
}
"""Case to what the support table calls it, and its configuration."""

ON_BERT: dict[str, tuple[str, str]] = {
    "compacter_own_rule": ("compacter", f"{_BOTH}shared_phm_rule=False]"),
    "compacter_factored_rule": ("compacter", f"{_PP}factorized_phm_rule=True]"),
    "compacter_own_factored_rule": (
        "compacter",
        f"{_PP}shared_phm_rule=False,factorized_phm_rule=True,learn_phm=False]",
    ),
    "compacter_whole_w": ("compacter", f"{_PP}factorized_phm_W=False]"),
    "compacter_own_whole": (
        "compacter",
        f"{_BOTH}shared_phm_rule=False,factorized_phm_W=False,phm_dim=8]",
    ),
    "compacter_shared_w": ("compacter", f"{_BOTH}shared_W_phm=True]"),
    "compacter_shared_w_own_rule": (
        "compacter",
        f"{_PP}shared_W_phm=True,shared_phm_rule=False,phm_rank=2]",
    ),
    "compacter_rank": ("compacter", f"{_PP}phm_rank=3,phm_bias=False]"),
    "compacter_flags": (
        "compacter",
        f"{_BOTH}ln_before=True,ln_after=True,use_gating=True,scaling='learned']",
    ),
    "compacter_parallel": ("compacter", f"{_PP}is_parallel=True,scaling=4.0]"),
    "compacter_left_out": ("compacter", f"{_BOTH}leave_out=[0]]"),
    "dora_default": ("dora", "dora[alpha=16]"),
    "dora_gated": ("dora", f"dora[{_ALL},use_gating=True]"),
    "dora_left_out": ("dora", "dora[r=2,leave_out=[1],attn_matrices=['k'],output_lora=True]"),
    "vera_gated": ("vera", f"vera[{_LORA},use_gating=True]"),
    "vera_ffn": ("vera", "vera[r=3,selfattn_lora=False,intermediate_lora=True,alpha=2]"),
    "dvora": ("dvora", f"dvora[{_LORA}]"),
    "dvora_gated": ("dvora", f"dvora[{_LORA},use_gating=True]"),
    "mtl_lora": ("mtl_lora", f"mtl_lora[{_ALL}]"),
    "mtl_lora_three": ("mtl_lora", f"mtl_lora[{_LORA},n_up_projection=3,weights_sharpness=0.7]"),
    "mtl_lora_gated": ("mtl_lora", f"mtl_lora[{_LORA},n_up_projection=2,use_gating=True]"),
    "lora_dtype": ("lora", f"lora[{_LORA},dtype='float32']"),
    "loreft_default": ("loreft", "loreft"),
    "loreft_square": ("loreft", "loreft[r=32,suffix_positions=2]"),
    "loreft_tied": (
        "loreft",
        "loreft[r=4,prefix_positions=2,suffix_positions=2,tied_weights=True,layers=[1]]",
    ),
    "loreft_overlap": ("loreft", "loreft[r=2,prefix_positions=7,suffix_positions=6]"),
    "noreft": ("noreft", "noreft[r=4,suffix_positions=1]"),
    "noreft_suffix": ("noreft", "noreft[r=4,prefix_positions=0,suffix_positions=20]"),
    "noreft_activated": ("noreft", "noreft[r=4,non_linearity='GELU',layers=[0]]"),
    "noreft_short_rows": ("noreft", "noreft[r=2,prefix_positions=3,suffix_positions=10]"),
    "noreft_tied_overlap": (
        "noreft",
        "noreft[r=2,prefix_positions=6,suffix_positions=6,tied_weights=True]",
    ),
    "direft": ("direft", "direft[r=4,suffix_positions=2]"),
    # The library forgets inside a union what makes it DiReFT, before it trains.
    "union_direft": ("union", "direft[r=2]|seq_bn[reduction_factor=8]"),
    "union_reft_bottleneck": (
        "union",
        "loreft[r=2]|seq_bn[reduction_factor=8]|ia3[alpha=2,attn_matrices=['q','k']]",
    ),
    "union_compacter_dora": ("union", f"{_BOTH}phm_dim=4]|dora[{_LORA}]"),
    "union_two_bottlenecks": (
        "union",
        "seq_bn[reduction_factor=4]|par_bn[reduction_factor=4,mh_adapter=True,output_adapter=False]",
    ),
    "unipelt_half": (
        "union",
        "seq_bn[reduction_factor=4,use_gating=True]|lora[r=4,alpha=2,use_gating=True]",
    ),
}

_PART = "attn_matrices=['v','q']"
_THIRDS: dict[str, tuple[str, str]] = {
    "lora_reversed": ("lora", f"lora[r=3,alpha=7,{_PART},output_lora=True]"),
    "lora_one_third": ("lora", "lora[r=2,alpha=3,attn_matrices=['k']]"),
    "lora_part_gated": ("lora", f"lora[r=3,{_PART},use_gating=True]"),
    "ia3_part": ("ia3", f"ia3[alpha=3,{_PART}]"),
    "ia3_part_gated": ("ia3", f"ia3[alpha=3,{_PART},use_gating=True]"),
}
MERGED: dict[str, dict[str, tuple[str, str]]] = {
    "gpt2": {
        **_THIRDS,
        "dora_ignored": ("dora", "dora[r=3,alpha=5,attn_matrices=['v']]"),
        "vera_ffn": ("vera", "vera[r=3,selfattn_lora=False,output_lora=True]"),
        "mtl_lora_ffn": ("mtl_lora", "mtl_lora[selfattn_lora=False,output_lora=True]"),
    },
    "deberta": {
        **_THIRDS,
        "dora_ignored": ("dora", f"dora[{_LORA}]"),
    },
    "modernbert": {
        **_THIRDS,
        "dora_ignored": ("dora", f"dora[{_LORA}]"),
        "dora_ignored_in_part": ("dora", f"dora[{_ALL}]"),
    },
}
"""Backbones whose queries, keys and values come from one projection."""

_INTERFACE: Config = {
    "adapter_methods": ["bottleneck", "lora", "reft", "invertible"],
    "model_embeddings": "embeddings",
    "model_layers": "encoder.layer",
    "layer_self_attn": "attention",
    "layer_cross_attn": None,
    "layer_intermediate_proj": "intermediate.dense",
    "layer_output_proj": "output.dense",
}
INTERFACES: dict[str, Config] = {
    "bert": _INTERFACE
    | {
        "attn_q_proj": "self.query",
        "attn_k_proj": "self.key",
        "attn_v_proj": "self.value",
        "attn_o_proj": "output.dense",
    },
    "mpnet": _INTERFACE
    | {
        "attn_q_proj": "attn.q",
        "attn_k_proj": "attn.k",
        "attn_v_proj": "attn.v",
        "attn_o_proj": "attn.o",
    },
}
"""A user's interface, by backbone; it shows blocks no residual."""
HOOKED: dict[str, tuple[str, str]] = {
    "hooked_seq_bn": ("bottleneck", "seq_bn[reduction_factor=4]"),
    "hooked_double_seq_bn": ("bottleneck", "double_seq_bn[reduction_factor=4,use_gating=True]"),
    "hooked_no_residual": (
        "bottleneck",
        "seq_bn[reduction_factor=4,residual_before_ln=False,ln_after=True]",
    ),
    "hooked_lora": ("lora", f"lora[{_ALL}]"),
    "hooked_loreft": ("loreft", "loreft[r=2,suffix_positions=1]"),
    "hooked_compacter": ("compacter", f"{_BOTH}phm_dim=4,shared_phm_rule=False]"),
}

STACKS: dict[str, tuple[str, ...]] = {
    "compacters": ("compacter", "compacter_plus_plus"),
    "dora_last": ("lora_dtype", "dora_default"),
    "dora_first": ("dora_default", "lora_dtype"),
    "vera_lora": ("vera", "mtl_lora_three"),
    "reft_first": ("loreft", "noreft"),
    "reft_second": ("compacter", "loreft"),
}


def _unchanged(_config: Config) -> None:
    """Only its tensors are renamed."""


def _drop_version(config: Config) -> None:
    del config["version"]


def _version(version: str) -> Callable[[Config], None]:
    return lambda config: config.update(version=version)


def _by_name(text: str | None) -> Callable[[Config], None]:
    return lambda config: config.update(config=text)


def _sparse(config: Config) -> None:
    """Only what the library's class cannot default, and keys that it does not know."""
    kept = ("mh_adapter", "output_adapter", "reduction_factor", "non_linearity", "phm_layer")
    config["config"] = {key: config["config"][key] for key in kept}
    config["config"] |= {"original_ln_before": True, "adapter_loss": None, "attention_type": "x"}
    config.update(model_name=None, hidden_size=None, config_id="0123456789abcdef", extra={"a": 1})


def _first_version(config: Config) -> None:
    """A task adapter of the first library: it names an invertible block that it never had."""
    del config["version"]
    config["type"] = "text_task"
    nested = {"block_type": "nice", "non_linearity": "relu", "reduction_factor": 2}
    config["config"]["invertible_adapter"] = nested
    for key in ("inv_adapter", "inv_adapter_reduction_factor", "use_gating", "scaling"):
        del config["config"][key]


_LANG = {
    "attention.output.adapters": "attention.output.attention_text_lang_adapters",
    "output.adapters": "output.layer_text_lang_adapters",
}
_TASK = {new: old.replace("lang", "task") for new, old in _LANG.items()}

# Source case, edit of its configuration, renames in tensor names, options of the task.
LEGACY: dict[str, tuple[str, Callable[[Config], None], dict[str, str], Config]] = {
    "legacy_compacter": ("compacter", _drop_version, {}, {}),
    "legacy_default": ("seq_sixteen", _by_name(None), {}, {}),
    "legacy_houlsby": ("double_sixteen", _by_name("houlsby"), {}, {}),
    "legacy_string": ("seq_two", _by_name("pfeiffer[reduction_factor=2,use_gating=1]"), {}, {}),
    "legacy_string_union": (
        "union_short",
        _by_name("lora[r=2,alpha=6]|scaled_parallel[reduction_factor=4]"),
        {},
        {},
    ),
    "legacy_union_gelu": ("union_gelu", _drop_version, {}, {}),
    "legacy_sparse": ("compacter_plus_plus", _sparse, {}, {}),
    "legacy_task": ("seq_two_relu", _first_version, _TASK, {}),
    "legacy_bare": ("compacter_own_rule", _unchanged, {"bert.": ""}, {}),
    "legacy_gated_1_0": ("lora_gated_old", _version("adapters.1.0.0"), {}, {}),
    "legacy_union_1_0": (
        "union_old",
        _version("adapters.1.0.1"),
        {},
        {"lora_scaling": "adapters"},
    ),
}
"""What an older library wrote, by hand from what today's writes."""

SOURCES: dict[str, str] = {
    "seq_sixteen": "seq_bn",
    "double_sixteen": "double_seq_bn",
    "seq_two": "seq_bn[reduction_factor=2,use_gating=True]",
    "seq_two_relu": "seq_bn[reduction_factor=2]",
    "union_short": "lora[r=2,alpha=6]|scaled_par_bn[reduction_factor=4]",
    "union_gelu": "lora[r=2,alpha=6]|seq_bn[reduction_factor=4,non_linearity='gelu']",
    "lora_gated_old": f"lora[{_LORA},use_gating=True]",
    "union_old": "lora[r=2,alpha=6]|seq_bn[reduction_factor=8]",
}
"""What only legacy cases start from."""
