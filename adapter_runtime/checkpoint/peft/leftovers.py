"""What the tensors of a PEFT checkpoint are that no reader took."""

from __future__ import annotations

from adapter_runtime.checkpoint.heads.static import head_modules
from adapter_runtime.checkpoint.peft.file import WRAPPER, PeftFile, with_outer
from adapter_runtime.checkpoint.peft.targets import names_of

_ON_LINEARS = (
    ".lora_A",
    ".lora_B",
    ".lora_E",
    ".lora_magnitude_vector",
    ".ia3_",
    ".vera_lambda_",
    ".hada_",
    ".lokr_",
)
_ON_OTHERS = (".lora_embedding_", ".ln_tuning_layers.", ".token_adapter.", ".trainable_tokens_")
"""How a method's own tensors begin, behind the module's path."""


def name_leftovers(file: PeftFile) -> None:
    """Say of tensors that nothing read what they are, where that is known.

    The rest remains unexpected, as the ledger reports it.
    """
    for name in file.ledger.unused():
        module, mark = _owner(name.removeprefix(WRAPPER))
        path = module.removeprefix(file.prefix)
        if file.is_idle(path):
            file.ledger.alias([name], "has no effect")
        elif found := _problem(module, path, mark, file):
            file.ledger.alias([name], "not read")
            code, message = found
            file.ledger.problem(code, f"{message}: {name}.")


def _owner(path: str) -> tuple[str, str | None]:
    """The module that a tensor belongs to, and what marks it as a method's."""
    for mark in (*_ON_LINEARS, *_ON_OTHERS):
        module, found, _ = path.partition(mark)
        if found:
            return module, mark
    return path.rpartition(".")[0], None


def _problem(module: str, path: str, mark: str | None, file: PeftFile) -> tuple[str, str] | None:
    if mark and module.split(".")[0] in head_modules(file.facts.model_type):
        message = (
            f"{module} is part of a head that PEFT adapted but did not save: its own weights were "
            "random at training and are lost; name it in modules_to_save"
        )
        return "missing_head", message
    if mark in _ON_OTHERS and path not in file.facts.modules:
        return "unsupported_module", f"{module} cannot be adapted on this backbone"
    saved = names_of(file.config.get("modules_to_save"), "modules_to_save") or ()
    if mark is None and any(outer.endswith(saved) for outer in with_outer(module)):
        return "unsupported_module", f"{module} cannot be replaced on this backbone"
    return None
