"""What the tensors of a PEFT checkpoint are that no reader took."""

from __future__ import annotations

from adapter_runtime.checkpoint.heads_static import head_modules
from adapter_runtime.checkpoint.peft_file import WRAPPER, PeftFile, with_outer
from adapter_runtime.checkpoint.peft_targets import names_of

_MARKS = (
    *(".lora_", ".ia3_", ".vera_lambda_", ".ln_tuning_layers."),
    *(".token_adapter.", ".trainable_tokens_"),
)
"""How a method's own tensors begin, behind the module's path."""


def name_leftovers(file: PeftFile) -> None:
    """Say of tensors that nothing read what they are, where that is known.

    The rest remains unexpected, as the ledger reports it.
    """
    for name in file.ledger.unused():
        module, is_method = _owner(name.removeprefix(WRAPPER))
        path = module.removeprefix(file.prefix)
        if file.is_idle(path):
            file.ledger.alias([name], "has no effect")
        elif found := _problem(module, path, is_method, file):
            file.ledger.alias([name], "not read")
            code, message = found
            file.ledger.problem(code, f"{message}: {name}.")


def _owner(path: str) -> tuple[str, bool]:
    """The module that a tensor belongs to, and whether it is a method's."""
    for mark in _MARKS:
        module, found, _ = path.partition(mark)
        if found:
            return module, True
    return path.rpartition(".")[0], False


def _problem(module: str, path: str, is_method: bool, file: PeftFile) -> tuple[str, str] | None:
    if is_method and module.split(".")[0] in head_modules(file.facts.model_type):
        lost = "its own weights were random at training and are lost; name it in modules_to_save"
        return (
            "missing_head",
            f"{module} is part of a head that PEFT adapted but did not save: {lost}",
        )
    if is_method and path not in file.facts.modules:
        return "unsupported_module", f"{module} cannot be adapted on this backbone"
    saved = names_of(file.config.get("modules_to_save"), "modules_to_save") or ()
    if not is_method and any(outer.endswith(saved) for outer in with_outer(module)):
        return "unsupported_module", f"{module} cannot be replaced on this backbone"
    return None
