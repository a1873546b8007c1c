"""PEFT's (IA)³: factors of outputs, and of the inputs of the modules it calls feed-forward.

Source: `IA3Config` and `IA3Model` of peft 0.21.2.
"""

from __future__ import annotations

from adapter_runtime.checkpoint.peft import defaults as peft_defaults
from adapter_runtime.checkpoint.peft.file import PeftFile
from adapter_runtime.checkpoint.peft.targets import Names, Targets, matches, names_of
from adapter_runtime.methods.configuration import BadConfig
from adapter_runtime.methods.ia3 import Ia3, Ia3Settings
from adapter_runtime.methods.ia3_input import Ia3Input, Ia3InputSettings
from adapter_runtime.types import Part, PlugPoint


def read_ia3(file: PeftFile) -> list[Part]:
    """The Parts of an (IA)³ checkpoint; problems go to the ledger.

    Raises:
        BadConfig: a configuration value cannot be used.
    """
    model_type = file.facts.model_type
    targets = Targets.read(file.config, peft_defaults.IA3.get(model_type))
    feedforward = names_of(file.config.get("feedforward_modules"), "feedforward_modules")
    if feedforward is None:
        feedforward = peft_defaults.IA3_FEEDFORWARD.get(model_type)
    if feedforward is None:
        raise BadConfig("feedforward_modules is null and has no default for this backbone.")
    return [
        _part(path, point, _is_among(feedforward, file.module(path)), file)
        for path, point in file.linears(targets)
    ]


def _is_among(names: Names, module: str) -> bool:
    """Here PEFT lets a name also end within a word of the path."""
    if isinstance(names, str):
        return matches(names, module, "feedforward_modules")
    return module.endswith(names)


def _part(path: str, point: PlugPoint, is_feedforward: bool, file: PeftFile) -> Part:
    width_out, width_in = file.facts.linears[path]
    name = file.name(path, "ia3_l")
    if is_feedforward:
        scale = file.ledger.take(name, (1, width_in)).flatten()
        return Part(Ia3Input.name, point, Ia3InputSettings(), {"scale": scale})
    scale = file.ledger.take(name, (width_out, 1)).flatten()
    return Part(Ia3.name, point, Ia3Settings(), {"scale": scale})
