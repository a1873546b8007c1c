"""PEFT folders: LoRA and (IA)³ for every task type.

Source: https://huggingface.co/docs/peft/developer_guides/checkpoint; peft 0.21.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

from torch import Tensor

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.heads_peft import head_tensor_names
from adapter_runtime.checkpoint.peft_checks import (
    WRAPPER,
    refuse_saved_modules,
    refuse_unsupported,
    task_prefix,
)
from adapter_runtime.checkpoint.peft_targets import (
    DEFAULT_IA3_FEEDFORWARD,
    DEFAULT_IA3_TARGETS,
    DEFAULT_LORA_TARGETS,
    Names,
    Targets,
    matches,
    names_of,
    pattern_value,
)
from adapter_runtime.ledger import Ledger
from adapter_runtime.methods.bias import Bias, BiasSettings
from adapter_runtime.methods.configuration import BadConfig, as_number, boolean, positive_integer
from adapter_runtime.methods.ia3 import Ia3, Ia3Settings
from adapter_runtime.methods.ia3_input import Ia3Input, Ia3InputSettings
from adapter_runtime.methods.lora import Lora, LoraSettings
from adapter_runtime.types import Note, Part, PlugPoint

CONFIG_FILE = "adapter_config.json"
WEIGHT_FILES = ("adapter_model.safetensors", "adapter_model.bin")

_POOLER = "pooler.dense"
_BIASES = ("none", "lora_only", "all")


@dataclass(frozen=True, slots=True)
class PeftFile:
    """A PEFT checkpoint while it is read.

    Args:
        config: the content of `adapter_config.json`.
        facts: the backbone.
        ledger: all tensors, by their names in the file.
        prefix: what stands before the base model's own paths, up to the task model's attribute.
    """

    config: Mapping[str, Any]
    facts: BackboneFacts
    ledger: Ledger
    prefix: str

    def linears(self, targets: Targets, suffix: str) -> Iterator[tuple[str, PlugPoint]]:
        """Path and point of every targeted linear of the base model."""
        for path in self.facts.linears:
            module = f"{self.prefix}{path}"
            # Only some task models have a pooler: it counts where the file has it.
            is_absent = path == _POOLER and self.name(path, suffix) not in self.ledger
            if module in targets and not is_absent:
                yield path, self.point(path)

    def name(self, path: str, suffix: str) -> str:
        """The name of a base module's tensor in the file."""
        return f"{WRAPPER}{self.prefix}{path}.{suffix}"

    def point(self, path: str) -> PlugPoint:
        """The plug point of a base module.

        Raises:
            BadConfig: it is none.
        """
        if path not in self.facts.modules:
            message = f"{path} is no place where adapters can act on this backbone."
            raise BadConfig(message, "unsupported_module")
        return self.facts.modules[path]


def read_peft(
    config: Mapping[str, Any], ledger: Ledger, facts: BackboneFacts
) -> tuple[tuple[Part, ...], tuple[Note, ...]]:
    """The Parts of a PEFT checkpoint and what to know about them; problems go to the ledger."""
    parts: list[Part] = []
    try:
        # First of all: prompt types have no tensors by which to find the task model's prefix.
        refuse_unsupported(config, ledger, _READERS)
        file = PeftFile(config, facts, ledger, task_prefix(config, ledger, facts))
        ledger.alias(head_tensor_names(config, ledger.names(), facts), "head")
        parts += _READERS[str(config["peft_type"])](file)
        refuse_saved_modules(config, ledger)
    except BadConfig as error:
        ledger.problem(error.code, str(error))
        ledger.alias(ledger.unused(), "not read")
    return tuple(parts), ()


def _read_lora(file: PeftFile) -> list[Part]:
    default = DEFAULT_LORA_TARGETS.get(file.facts.model_type)
    targets = Targets.read(file.config, default)
    linears = list(file.linears(targets, "lora_A.weight"))
    parts = [_lora_part(path, point, file) for path, point in linears]
    return _read_biases([path for path, _ in linears], file) + parts


def _lora_part(path: str, point: PlugPoint, file: PeftFile) -> Part:
    config, module = file.config, f"{file.prefix}{path}"
    rank = pattern_value(config.get("rank_pattern"), module, config.get("r", 8), "rank_pattern")
    rank = positive_integer(rank, "r")
    alpha = pattern_value(
        config.get("alpha_pattern"), module, config.get("lora_alpha", 8), "alpha_pattern"
    )
    scale = as_number(alpha, "lora_alpha") / (sqrt(rank) if boolean(config, "use_rslora") else rank)
    has_bias = boolean(config, "lora_bias")
    width_out, width_in = file.facts.linears[path]
    take = file.ledger.take
    tensors = {
        "down": take(file.name(path, "lora_A.weight"), (rank, width_in)),
        "up": take(file.name(path, "lora_B.weight"), (width_out, rank)),
    }
    if has_bias:
        tensors["bias"] = take(file.name(path, "lora_B.bias"), (width_out,))
    return Part(Lora.name, point, LoraSettings(scale, has_bias=has_bias), tensors)


def _read_biases(targeted: list[str], file: PeftFile) -> list[Part]:
    kind = file.config.get("bias", "none")
    if kind not in _BIASES:
        raise BadConfig(f"bias must be one of {', '.join(_BIASES)}, not {kind!r}.")
    if kind == "none":
        return []
    wrapped = set(targeted)
    biased = {
        name.removesuffix(".bias"): shape
        for name, shape in file.facts.biases.items()
        if name.endswith(".bias")
    }
    paths = biased if kind == "all" else [path for path in targeted if path in biased]
    return [
        Part(Bias.name, file.point(path), BiasSettings(), {"bias": tensor})
        for path in paths
        if (tensor := _take_bias(path, path in wrapped, biased[path], file)) is not None
    ]


def _take_bias(
    path: str, is_wrapped: bool, shape: tuple[int, ...], file: PeftFile
) -> Tensor | None:
    names = [file.name(path, "bias")]
    if is_wrapped:
        # Before PEFT 0.6 a wrapped module's bias kept its plain name.
        names.insert(0, file.name(path, "base_layer.bias"))
    stored = [name for name in names if name in file.ledger]
    if path == _POOLER and not stored:
        return None
    return file.ledger.take((stored or names)[0], shape)


def _read_ia3(file: PeftFile) -> list[Part]:
    model_type = file.facts.model_type
    targets = Targets.read(file.config, DEFAULT_IA3_TARGETS.get(model_type))
    feedforward = names_of(file.config.get("feedforward_modules"), "feedforward_modules")
    if feedforward is None:
        feedforward = DEFAULT_IA3_FEEDFORWARD.get(model_type, ())
    return [
        _ia3_part(path, point, _is_among(feedforward, path, file), file)
        for path, point in file.linears(targets, "ia3_l")
    ]


def _is_among(names: Names, path: str, file: PeftFile) -> bool:
    return matches(names, f"{file.prefix}{path}", "feedforward_modules")


def _ia3_part(path: str, point: PlugPoint, is_feedforward: bool, file: PeftFile) -> Part:
    width_out, width_in = file.facts.linears[path]
    name = file.name(path, "ia3_l")
    if is_feedforward:
        scale = file.ledger.take(name, (1, width_in)).flatten()
        return Part(Ia3Input.name, point, Ia3InputSettings(), {"scale": scale})
    scale = file.ledger.take(name, (width_out, 1)).flatten()
    return Part(Ia3.name, point, Ia3Settings(), {"scale": scale})


_READERS = {"LORA": _read_lora, "IA3": _read_ia3}
