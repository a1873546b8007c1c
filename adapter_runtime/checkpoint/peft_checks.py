"""What refuses a PEFT checkpoint before and after its tensors are read.

Source: `LoraConfig` of peft 0.21.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.peft_targets import names_of
from adapter_runtime.ledger import Ledger
from adapter_runtime.methods.configuration import BadConfig

WRAPPER = "base_model.model."
"""What PEFT writes before the task model's own names."""

_REFUSED_KEYS = (
    "target_parameters",
    "layer_replication",
    "trainable_token_indices",
    "alora_invocation_tokens",
    "use_qalora",
    "arrow_config",
    "use_bdlora",
    "megatron_config",
    "velora_config",
    "monteclora_config",
    "kasa_config",
)
_PLAIN_INITS = (True, False, None, "gaussian", "orthogonal", "eva")


def task_prefix(config: Mapping[str, Any], ledger: Ledger, facts: BackboneFacts) -> str:
    """`bert.` for a task model, nothing for a bare base model.

    Raises:
        BadConfig: the file belongs to another family.
    """
    mapping = config.get("auto_mapping")
    family = str(mapping.get("parent_library")) if isinstance(mapping, Mapping) else ""
    if family.startswith("transformers.models."):
        model_type = family.split(".")[2].replace("_", "-")
        if model_type != facts.model_type:
            message = f"It was trained for a {model_type} backbone; this one is {facts.model_type}."
            raise BadConfig(message, "wrong_backbone")
    names = [name.removeprefix(WRAPPER) for name in ledger.names()]
    if any(name.startswith(f"{facts.prefix}.") for name in names):
        return f"{facts.prefix}."
    roots = {path.split(".")[0] for path in (*facts.linears, *facts.biases)}
    if any(name.split(".")[0] in roots for name in names):
        return ""
    found = ", ".join(sorted({name.split(".")[0] for name in names}))
    message = f"Its tensors lie under {found or 'nothing'}; {facts.model_type} has {facts.prefix}."
    raise BadConfig(message, "wrong_backbone")


def refuse_unsupported(config: Mapping[str, Any], ledger: Ledger, known: Iterable[str]) -> None:
    """Refuse a method, or a setting that changes the forward.

    Raises:
        BadConfig: it names the key.
    """
    if str(config["peft_type"]) not in known:
        names = ", ".join(known)
        message = f"PEFT's {config['peft_type']} is not supported; supported are {names}."
        raise BadConfig(message, "unsupported_method")
    for key in _REFUSED_KEYS:
        if config.get(key) not in (None, False) and config[key] != [] and config[key] != {}:
            raise BadConfig(
                f"{key} changes the forward and is not supported.", "unsupported_config"
            )
    if config.get("use_dora"):
        raise BadConfig("DoRA (use_dora) is not supported.", "unsupported_method")
    if any(".lora_embedding_" in name for name in ledger.names()):
        raise BadConfig("LoRA on embeddings is not supported.", "unsupported_method")
    start = config.get("init_lora_weights", True)
    if start not in _PLAIN_INITS:
        message = (
            f"init_lora_weights {start!r} changed the backbone's weights; convert it to plain LoRA."
        )
        raise BadConfig(message, "modified_backbone")


def refuse_saved_modules(config: Mapping[str, Any], ledger: Ledger) -> None:
    """Name the saved modules that are neither a head nor anything we can replace."""
    saved = names_of(config.get("modules_to_save"), "modules_to_save") or ()
    for name in ledger.unused():
        module = name.removeprefix(WRAPPER).rpartition(".")[0]
        if any(saved_name in module.split(".") for saved_name in saved):
            ledger.alias([name], "not read")
            message = f"modules_to_save holds {module}, which is no head of ours: {name}."
            ledger.problem("unsupported_module", message)
