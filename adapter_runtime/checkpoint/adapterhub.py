"""AdapterHub folders, as `adapters` 0.x to 1.3 and adapter-transformers 1.x to 3.x write them.

Source: https://docs.adapterhub.ml/loading.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.legacy import ignored_scaling, modernise, rename_tensor
from adapter_runtime.checkpoint.named_configs import expand_config
from adapter_runtime.ledger import Ledger
from adapter_runtime.methods.bottleneck_files import read_bottleneck
from adapter_runtime.methods.configuration import BadConfig, HubFile
from adapter_runtime.methods.invertible_files import holds_invertible, read_invertible
from adapter_runtime.methods.lora_files import read_lora
from adapter_runtime.methods.prefix_files import read_prefix
from adapter_runtime.methods.prompt_files import read_prompt
from adapter_runtime.types import Note, Part

CONFIG_FILE = "adapter_config.json"
WEIGHT_FILES = ("adapter.safetensors", "pytorch_adapter.bin")

_BOTTLENECK = "bottleneck"
"""How we call the architecture that the library leaves unnamed."""
_READERS = {
    _BOTTLENECK: read_bottleneck,
    "lora": read_lora,
    "prefix_tuning": read_prefix,
    "prompt_tuning": read_prompt,
}
_LATER_METHODS = {
    "mtl_lora": "MTL-LoRA",
    "reft": "ReFT",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What a checkpoint's tensors became; problems are in the ledger."""

    name: str
    parts: tuple[Part, ...]
    notes: tuple[Note, ...]
    library: str | None


def open_ledger(tensors: Mapping[str, Any], facts: BackboneFacts) -> Ledger:
    """The tensors by current names, without the base model's prefix."""
    renamed: dict[str, Any] = {}
    for name, tensor in tensors.items():
        current = rename_tensor(name)
        for prefix in (facts.prefix, *facts.other_prefixes):
            current = current.removeprefix(f"{prefix}.")
        # Two names may mean one place: the second is reported as unexpected.
        renamed[f"{name} (again)" if current in renamed else current] = tensor
    return Ledger(renamed)


def wrong_backbone(config: Mapping[str, Any], facts: BackboneFacts) -> list[Note]:
    """Why the file was made for another backbone than this one; empty when it fits."""
    problems = []
    model_type, hidden_size = config.get("model_type"), config.get("hidden_size")
    if model_type and model_type != facts.model_type:
        message = f"It was trained for a {model_type} backbone; this one is {facts.model_type}."
        problems.append(Note("wrong_backbone", message))
    if hidden_size and hidden_size != facts.hidden_size:
        message = f"It was trained for width {hidden_size}; this backbone has {facts.hidden_size}."
        problems.append(Note("wrong_backbone", message))
    return problems


def read_adapterhub(
    config: Mapping[str, Any], ledger: Ledger, facts: BackboneFacts, lora_scaling: str
) -> Reading:
    """The Parts of an AdapterHub checkpoint; problems go to the ledger.

    Args:
        config: the content of `adapter_config.json`.
        ledger: from `open_ledger`.
        facts: the backbone.
        lora_scaling: `as_trained`, or `adapters` for what `adapters` 1.3 would compute.
    """
    name, version = str(config.get("name") or ""), config.get("version")
    notes: list[Note] = []
    parts: list[Part] = []
    try:
        if not name:
            raise BadConfig("The adapter's name is missing from adapter_config.json.")
        if not facts.adapter_paths:
            message = f"The adapters library does not know {facts.model_type} backbones."
            raise BadConfig(message, "wrong_backbone")
        stored = expand_config(config.get("config"))
        is_as_trained = lora_scaling == "as_trained"
        is_unscaled = ignored_scaling(version, is_as_trained)
        if stored.get("architecture") == "union" and not is_as_trained:
            is_unscaled = False  # `adapters` 1.3 repairs no LoRA inside a union.
        file = HubFile(name, facts, ledger, is_unscaled)
        for child in _children(stored):
            current = modernise(child, version is not None)
            notes += _quirks(child, current, config, file)
            parts += _reader(current)(current, file)
            parts += _invertible(current, config, file)
    except BadConfig as error:
        ledger.problem(error.code, str(error))
        ledger.alias(ledger.unused(), "not read")
    except RecursionError:
        ledger.problem("bad_config", "Its unions lie too deep in one another; save one union.")
        ledger.alias(ledger.unused(), "not read")
    return Reading(name, _distinct(parts, ledger), tuple(notes), str(version) if version else None)


def _children(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if config.get("architecture") != "union":
        yield config
        return
    children = config.get("configs")
    if not isinstance(children, (list, tuple)) or not children:
        raise BadConfig("A union needs a list of configurations under configs.")
    for child in children:
        yield from _children(expand_config(child))


def _reader(config: Mapping[str, Any]) -> Any:
    architecture = str(config.get("architecture") or _BOTTLENECK)
    if architecture in _READERS:
        return _READERS[architecture]
    method = _LATER_METHODS.get(architecture, f"The architecture {architecture!r}")
    raise BadConfig(f"{method} is not supported.", "unsupported_method")


def _quirks(
    stored: Mapping[str, Any], current: Mapping[str, Any], top: Mapping[str, Any], file: HubFile
) -> list[Note]:
    """What was changed on the way in, as notes."""
    notes = []
    before, after = stored.get("non_linearity"), current.get("non_linearity")
    if before != after:
        message = f"The file states no version, so its activation {before} means {after}."
        notes.append(Note("activation_renamed", message))
    is_lora = current.get("architecture") == "lora"
    if is_lora and file.is_lora_unscaled and current.get("r") != current.get("alpha"):
        message = "The library that trained it ignored alpha / r, and so do we; see lora_scaling."
        notes.append(Note("lora_unscaled", message))
    if _lacks_invertible(current, file) and top.get("type") == "text_task":
        message = "Its configuration names an invertible block that task adapters never had."
        notes.append(Note("invertible_dropped", message))
    return notes


def _invertible(
    current: Mapping[str, Any], top: Mapping[str, Any], file: HubFile
) -> list[Part]:
    """The invertible block of a bottleneck; task adapters of the first versions never had one."""
    if current.get("architecture"):
        return []
    if _lacks_invertible(current, file):
        if top.get("type") == "text_task":
            return []
        kind = current["inv_adapter"]
        message = f"The configuration names an invertible block ({kind}) that the file lacks."
        raise BadConfig(message, "missing_tensor")
    return read_invertible(current, file)


def _lacks_invertible(current: Mapping[str, Any], file: HubFile) -> bool:
    is_nice = not current.get("architecture") and current.get("inv_adapter") == "nice"
    return is_nice and not holds_invertible(file)


def _distinct(parts: list[Part], ledger: Ledger) -> tuple[Part, ...]:
    seen = set()
    for part in parts:
        if (part.method, part.point) in seen:
            message = f"Two configurations of one union both act at {part.point}."
            ledger.problem("bad_config", message)
        seen.add((part.method, part.point))
    return tuple(parts)
