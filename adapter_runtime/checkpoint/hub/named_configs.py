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
    "phm_dim": 4,
    "factorized_phm_W": True,
    "shared_W_phm": False,
    "shared_phm_rule": True,
    "factorized_phm_rule": False,
    "phm_c_init": "normal",
    "phm_init_range": 0.0001,
    "learn_phm": True,
    "hypercomplex_nonlinearity": "glorot-uniform",
    "phm_rank": 1,
    "phm_bias": True,
    "init_weights_seed": None,
    "stochastic_depth": 0.0,
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
    "dtype": None,
    "init_weights_seed": None,
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
_MTL_LORA = _LORA | {
    "architecture": "mtl_lora",
    "n_up_projection": 1,
    "task_specific_matrix_type": "singular_values",
    "weights_sharpness": 0.05,
}
_PREFIX: dict[str, Any] = {
    "architecture": "prefix_tuning",
    "encoder_prefix": True,
    "cross_prefix": True,
    "leave_out": [],
    "flat": False,
    "prefix_length": 30,
    "bottleneck_size": 512,
    "non_linearity": "tanh",
    "dropout": 0.0,
    "use_gating": False,
    "shared_gating": True,
    "init_weights_seed": None,
}
_PROMPT: dict[str, Any] = {
    "architecture": "prompt_tuning",
    "prompt_length": 10,
    "prompt_init": "random_uniform",
    "prompt_init_text": None,
    "combine": "prefix",
    "init_weights_seed": None,
}
_REFT: dict[str, Any] = {
    "architecture": "reft",
    "layers": "all",
    "prefix_positions": 3,
    "suffix_positions": 0,
    "r": 1,
    "orthogonality": False,
    "tied_weights": False,
    "dropout": 0.05,
    "non_linearity": None,
    "dtype": None,
    "output_reft": True,
    "init_weights_seed": None,
}
_GATED = {"use_gating": True}
_UNIPELT = (
    _PREFIX | {"prefix_length": 10} | _GATED,
    _SEQ_BN | _GATED,
    _LORA | {"alpha": 2} | _GATED,
)


def _union(*configs: Mapping[str, Any]) -> dict[str, Any]:
    return {"architecture": "union", "configs": list(configs)}


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
        "mtl_lora": _MTL_LORA,
        "prefix_tuning": _PREFIX,
        "prefix_tuning_flat": _PREFIX | {"flat": True},
        "prompt_tuning": _PROMPT,
        "loreft": _REFT | {"orthogonality": True},
        "noreft": _REFT,
        # The library's class knows it, but does not save it.
        "direft": _REFT | {"subtract_projection": False},
        "mam": _union(_PREFIX | {"bottleneck_size": 800}, _PAR_BN),
        "unipelt": _union(*_UNIPELT),
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
    return parts[0] if len(parts) == 1 else _union(*parts)


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
    return _changed(NAMED_CONFIGS[name], changes, text)


def _changed(config: Mapping[str, Any], changes: Mapping[str, Any], text: str) -> Mapping[str, Any]:
    """The configuration with other values; of a union, every part with them."""
    if config["architecture"] == "union":
        return _union(*(_changed(child, changes, text) for child in config["configs"]))
    unknown = [str(key) for key in changes if key not in config]
    if unknown:
        known = ", ".join(config)
        message = f"{text!r}: there is no key {', '.join(unknown)}; known are {known}."
        raise BadConfig(message)
    return {**config, **changes}
