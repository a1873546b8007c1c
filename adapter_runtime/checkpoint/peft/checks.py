"""What refuses a PEFT checkpoint before its tensors are read: methods and settings.

Source: `LoraConfig` and `PeftType` of peft 0.21.2. Of the settings that are not named here, each
is read by a reader, or matters for training only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from adapter_runtime.methods.configuration import BadConfig

_REFUSED_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "target_parameters": "adapts bare parameters, which are no places of this backbone",
        "layer_replication": "builds a deeper model out of repeated layers",
        "alora_invocation_tokens": "acts only behind certain tokens (aLoRA)",
        "use_qalora": "pools the input in groups (QA-LoRA)",
        "arrow_config": "routes every token among several adapters (Arrow)",
        "use_bdlora": "splits the factors in blocks (BD-LoRA)",
        "megatron_config": "was trained with Megatron's parallel linears",
        "velora_config": "changes how inputs are kept (VeLoRA)",
        "monteclora_config": "adds drawn noise to the factors (MonteCLoRA)",
        "kasa_config": "takes singular values out of the backbone's weights (KaSA)",
    }
)
"""Settings of LoRA's family that change the forward, and how."""

_TASKS = (
    *("SEQ_CLS", "SEQ_2_SEQ_LM", "CAUSAL_LM"),
    *("TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION"),
)

_PLAIN_INITS = ("gaussian", "orthogonal", "eva", "mica")
"""Ways to start training that leave the backbone's weights alone."""

_ROTATES = "rotates the backbone's weights"
_RESAMPLES = "rebuilds its weights from a few coefficients"
_OTHER_PRODUCT = "adds a product of another form than LoRA's"
_REASONS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("OFT", "BOFT", "HRA", "ROAD", "PSOFT"), _ROTATES)
    | dict.fromkeys(("FOURIERFT", "WAVEFT", "C3A", "VBLORA", "UNILORA", "TINYLORA"), _RESAMPLES)
    | dict.fromkeys(("HIRA", "MISS", "BONE", "RANDLORA", "PVERA"), _OTHER_PRODUCT)
    | dict.fromkeys(("FROD", "GRALORA", "DELORA", "ADAMSS", "LILY", "GLORA"), _OTHER_PRODUCT)
    | dict.fromkeys(("PEANUT", "DEFT"), _OTHER_PRODUCT)
    | dict.fromkeys(("XLORA", "POLY"), "mixes several adapters by a router of its own")
    | dict.fromkeys(("SHIRA", "OSF", "SUPERTUNING"), "changes single entries of the weights")
    | {
        "ADAPTION_PROMPT": "adds attention over trained tokens inside Llama's layers",
        "CPT": "trains the tokens of a fixed context",
        "CARTRIDGE": "stands for a whole document's keys and values",
        "BEFT": "trains biases by a rule of its own",
        "SHADOW": "runs a second model beside the backbone",
    }
)
"""What the other methods of PEFT do that none of ours does."""


def refuse_unsupported(config: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse a method, or a setting that changes the forward.

    Args:
        config: the content of `adapter_config.json`.
        known: values of `peft_type` that have a reader.

    Raises:
        BadConfig: it names the method or the setting.
    """
    kind = config["peft_type"]
    if kind not in (names := tuple(known)):
        reason = _REASONS.get(str(kind))
        told = f"PEFT's {kind!s:.100} is not supported" + (f": it {reason}" if reason else "")
        message = f"{told}. Train one of {', '.join(names)}, or convert it to LoRA with PEFT."
        raise BadConfig(message, "unsupported_method")
    for key, reason in _REFUSED_KEYS.items():
        if config.get(key) not in (None, False) and config[key] != [] and config[key] != {}:
            message = f"{key} changes the forward: it {reason}, which is not supported."
            raise BadConfig(message, "unsupported_config")
    task = config.get("task_type")
    if task is not None and not (isinstance(task, str) and task in _TASKS):
        raise BadConfig(
            f"task_type must be one of {', '.join(_TASKS)}, or null, not {task!r:.200}."
        )
    _refuse_changed_backbone(config)


def _refuse_changed_backbone(config: Mapping[str, Any]) -> None:
    start = config.get("init_lora_weights", True)
    if start is None or isinstance(start, bool) or str(start).lower() in _PLAIN_INITS:
        return
    message = (
        f"init_lora_weights {start!r:.100} changed the backbone's weights; save the adapter as "
        "plain LoRA, with PEFT's path_initial_model_for_weight_conversion."
    )
    raise BadConfig(message, "modified_backbone")
