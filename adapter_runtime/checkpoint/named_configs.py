"""The `adapters` library's named configurations and the grammar of its strings.

Source: https://docs.adapterhub.ml/overview.html; `ADAPTER_CONFIG_MAP` of `adapters` 1.3.0.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from adapter_runtime.methods.configuration import BadConfig

DEFAULT_NAME = "seq_bn"
MAX_LENGTH = 1000

_BOTTLENECK: dict[str, Any] = {
    "architecture": None,
    "original_ln_before": False,
    "original_ln_after": True,
    "ln_before": False,
    "ln_after": False,
    "init_weights": "bert",
    "is_parallel": False,
    "scaling": 1.0,
    "use_gating": False,
    "residual_before_ln": True,
    "adapter_residual_before_ln": False,
    "inv_adapter": None,
    "inv_adapter_reduction_factor": None,
    "cross_adapter": False,
    "leave_out": [],
    "dropout": 0.0,
    "phm_layer": False,
}
_SEQ_BN = _BOTTLENECK | {
    "mh_adapter": False,
    "output_adapter": True,
    "original_ln_before": True,
    "non_linearity": "relu",
    "reduction_factor": 16,
}
_DOUBLE_SEQ_BN = _BOTTLENECK | {
    "mh_adapter": True,
    "output_adapter": True,
    "non_linearity": "swish",
    "reduction_factor": 16,
}
_PAR_BN = _BOTTLENECK | {
    "mh_adapter": False,
    "output_adapter": True,
    "is_parallel": True,
    "non_linearity": "relu",
    "reduction_factor": 2,
    "init_weights": "mam_adapter",
    "scaling": 4.0,
}
_NICE = {"inv_adapter": "nice", "inv_adapter_reduction_factor": 2}
_COMPACTER = {"phm_layer": True, "reduction_factor": 32, "non_linearity": "gelu"}
_LORA = {
    "architecture": "lora",
    "selfattn_lora": True,
    "intermediate_lora": False,
    "output_lora": False,
    "leave_out": [],
    "r": 8,
    "alpha": 8,
    "dropout": 0.0,
    "attn_matrices": ["q", "v"],
    "composition_mode": "add",
    "init_weights": "lora",
    "use_gating": False,
    "use_dora": False,
    "vera_d": None,
    "vera_b": None,
}
_IA3 = _LORA | {
    "intermediate_lora": True,
    "r": 1,
    "alpha": 1,
    "attn_matrices": ["k", "v"],
    "composition_mode": "scale",
    "init_weights": "ia3",
}
_VERA = {"vera_d": 0.1, "vera_b": 0.0, "init_weights": "vera"}
_PREFIX = {"architecture": "prefix_tuning"}
_REFT = {"architecture": "reft"}

NAMED_CONFIGS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "seq_bn": _SEQ_BN,
        "pfeiffer": _SEQ_BN,
        "double_seq_bn": _DOUBLE_SEQ_BN,
        "houlsby": _DOUBLE_SEQ_BN,
        "par_bn": _PAR_BN,
        "parallel": _PAR_BN,
        "scaled_par_bn": _PAR_BN | {"scaling": "learned"},
        "scaled_parallel": _PAR_BN | {"scaling": "learned"},
        "seq_bn_inv": _SEQ_BN | _NICE,
        "pfeiffer+inv": _SEQ_BN | _NICE,
        "double_seq_bn_inv": _DOUBLE_SEQ_BN | _NICE,
        "houlsby+inv": _DOUBLE_SEQ_BN | _NICE,
        "compacter++": _SEQ_BN | _COMPACTER,
        "compacter": _DOUBLE_SEQ_BN | _COMPACTER,
        "lora": _LORA,
        "ia3": _IA3,
        "dora": _LORA | {"use_dora": True},
        "vera": _LORA | _VERA,
        "dvora": _LORA | _VERA | {"use_dora": True},
        "mtl_lora": _LORA | {"architecture": "mtl_lora"},
        "prefix_tuning": _PREFIX,
        "prefix_tuning_flat": _PREFIX | {"flat": True},
        "prompt_tuning": {"architecture": "prompt_tuning"},
        "loreft": _REFT,
        "noreft": _REFT,
        "direft": _REFT,
        "mam": {"architecture": "union", "configs": [_PREFIX, _PAR_BN]},
        "unipelt": {"architecture": "union", "configs": [_PREFIX, _SEQ_BN, _LORA]},
    }
)

_GRAMMAR = re.compile(r"^(?P<name>[^\[\]\|\n]+)(?:\[(?P<pairs>.*)\])?$")


def expand_config(config: Any) -> Mapping[str, Any]:
    """A configuration as a mapping, whatever an `adapter_config.json` gave.

    Args:
        config: a mapping, a string such as `pfeiffer` or `lora[r=4]|seq_bn`, or null for the
            default.

    Raises:
        BadConfig: the string names no configuration.
    """
    if isinstance(config, Mapping):
        return config
    if config is None or config == "":
        return NAMED_CONFIGS[DEFAULT_NAME]
    if not isinstance(config, str):
        raise BadConfig(f"config must be an object or a name, not {config!r}.")
    parts = [_expand_one(chunk.strip()) for chunk in config.split("|")]
    return parts[0] if len(parts) == 1 else {"architecture": "union", "configs": parts}


def _expand_one(text: str) -> Mapping[str, Any]:
    if len(text) > MAX_LENGTH:
        raise BadConfig(f"{text[:40]!r}… is too long for a configuration's name.")
    match = _GRAMMAR.match(text)
    name = match["name"] if match else text
    if match is None or name not in NAMED_CONFIGS:
        known = ", ".join(NAMED_CONFIGS)
        raise BadConfig(f"There is no configuration named {name!r}; known are {known}.")
    pairs = re.sub(r"(\w+)=", r"'\1':", match["pairs"] or "")
    try:
        changes = ast.literal_eval("{" + pairs + "}")
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        changes = None
    if not isinstance(changes, dict):
        raise BadConfig(f"{text!r} must be of the form name[key=value, …].")
    return {**NAMED_CONFIGS[name], **changes}
