"""AdapterHub folders, as `adapters` 0.x to 1.3 and adapter-transformers 1.x to 3.x write them.

Source: https://docs.adapterhub.ml/loading.html.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.halves import half_message, half_of
from adapter_runtime.checkpoint.hub.interfaces import apply_interface
from adapter_runtime.checkpoint.hub.legacy import bare_name, ignored_scaling, modernise
from adapter_runtime.checkpoint.hub.named_configs import expand_config
from adapter_runtime.ledger import Ledger
from adapter_runtime.methods.bottleneck_files import read_bottleneck
from adapter_runtime.methods.configuration import BadConfig, HubFile, Residuals
from adapter_runtime.methods.invertible_files import holds_invertible, read_invertible
from adapter_runtime.methods.lora_files import read_lora, read_mtl_lora
from adapter_runtime.methods.prefix_files import read_prefix
from adapter_runtime.methods.prompt import Prompt
from adapter_runtime.methods.prompt_files import read_prompt
from adapter_runtime.methods.reft import ReftSettings
from adapter_runtime.methods.reft_files import KEY as UNSAVED_KEY
from adapter_runtime.methods.reft_files import read_reft
from adapter_runtime.types import NOTHING, Note, Part, Site

CONFIG_FILE = "adapter_config.json"
WEIGHT_FILES = ("adapter.safetensors", "pytorch_adapter.bin")

Reader = Callable[[Mapping[str, Any], HubFile], list[Part]]

_BOTTLENECK = "bottleneck"
"""How we call the architecture that the library leaves unnamed."""
_READERS: Mapping[str, Reader] = {
    _BOTTLENECK: read_bottleneck,
    "lora": read_lora,
    "mtl_lora": read_mtl_lora,
    "reft": read_reft,
    "prefix_tuning": read_prefix,
    "prompt_tuning": read_prompt,
}
_FAMILIES = dict.fromkeys(("lora", "dora", "ia3"), "lora")
"""Methods of which a union may have one only at a point, beside those of equal names."""

_NAMELESS = "The adapter's name is missing from adapter_config.json."
_TOO_DEEP = "Its unions lie too deep in one another; save one union."
LORA_SCALINGS = ("as_trained", "adapters")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a checkpoint's tensors became; problems are in the ledger."""

    name: str
    parts: tuple[Part, ...]
    notes: tuple[Note, ...]
    library: str | None


def meaning(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Those of a task's options that change what a file means, where they differ from the default.

    Raises:
        BadConfig: one has a value that it cannot have.
    """
    changed: dict[str, Any] = {}
    scaling = options.get("lora_scaling", LORA_SCALINGS[0])
    if scaling not in LORA_SCALINGS:
        message = f"lora_scaling must be one of {', '.join(LORA_SCALINGS)}, not {scaling!r:.200}."
        raise BadConfig(message, "bad_option")
    if scaling != LORA_SCALINGS[0]:
        changed["lora_scaling"] = scaling
    subtracts = options.get("reft_subtract_projection", True)
    if not isinstance(subtracts, bool):
        message = f"reft_subtract_projection must be true or false, not {subtracts!r:.200}."
        raise BadConfig(message, "bad_option")
    return changed if subtracts else changed | {"reft_subtract_projection": False}


def open_ledger(tensors: Mapping[str, Any], facts: BackboneFacts) -> Ledger:
    """The tensors by current names, without the base model's prefix."""
    renamed: dict[str, Any] = {}
    for name, tensor in tensors.items():
        current = bare_name(name, facts)
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
    if not problems and (half := half_of(config, facts)):
        problems.append(Note(f"{half}_only", half_message(half, facts)))
    return problems


def check_config(config: Mapping[str, Any], facts: BackboneFacts) -> list[Note]:
    """Why a config alone shows that its file cannot be read; empty where only weights can tell."""
    if problems := wrong_backbone(config, facts):
        return problems
    try:
        if not config.get("name"):
            raise BadConfig(_NAMELESS)
        stored = expand_config(config.get("config"))
        for child in _children(stored):
            _architecture(modernise(child, "version" in config or child is not stored))
    except BadConfig as error:
        return [Note(error.code, str(error))]
    except RecursionError:
        return [Note("bad_config", _TOO_DEEP)]
    return []


def read_adapterhub(
    config: Mapping[str, Any],
    ledger: Ledger,
    facts: BackboneFacts,
    options: Mapping[str, Any] = NOTHING,
    interface: Any = None,
) -> Reading:
    """The Parts of an AdapterHub checkpoint; problems go to the ledger.

    Args:
        config: the content of `adapter_config.json`.
        ledger: from `open_ledger`.
        facts: the backbone.
        options: from `meaning`.
        interface: the content of `adapter_interface.json`; None where there is none.
    """
    name, version = str(config.get("name") or ""), config.get("version")
    notes: list[Note] = []
    parts: list[Part] = []
    try:
        if not name:
            raise BadConfig(_NAMELESS)
        residuals = Residuals.SEEN
        if interface is not None:
            facts, residuals = apply_interface(interface, facts)
        if not facts.adapter_paths:
            message = f"The adapters library does not know {facts.model_type} backbones."
            raise BadConfig(message, "wrong_backbone")
        stored = expand_config(config.get("config"))
        file = replace(_open(config, stored, ledger, facts, options), residuals=residuals)
        notes = file.notes
        notes += _unsaved_biases(facts)
        for child in _children(stored):
            # Today's library translates no activation inside a union.
            is_current = "version" in config or child is not stored
            parts += _read_one(child, modernise(child, is_current), config, file)
    except BadConfig as error:
        ledger.problem(error.code, str(error))
        ledger.alias(ledger.unused(), "not read")
    except RecursionError:
        ledger.problem("bad_config", _TOO_DEEP)
        ledger.alias(ledger.unused(), "not read")
    parts = _counted(parts)
    return Reading(name, _distinct(parts, ledger), tuple(notes), str(version) if version else None)


def _unsaved_biases(facts: BackboneFacts) -> list[Note]:
    """What today's library adds to merged projections without a bias when it wraps a model."""
    merged = [point for point in facts.shapes if point.site is Site.QKV]
    if not merged or facts.biased.issuperset(merged):
        return []
    message = (
        f"The adapters library may give the merged projections of {facts.model_type} backbones "
        "random biases that it saves nowhere; here they have none, so its numbers may differ."
    )
    return [Note("unsaved_bias", message)]


def _open(
    config: Mapping[str, Any],
    stored: Mapping[str, Any],
    ledger: Ledger,
    facts: BackboneFacts,
    options: Mapping[str, Any],
) -> HubFile:
    is_as_trained = options.get("lora_scaling", LORA_SCALINGS[0]) == LORA_SCALINGS[0]
    is_unscaled = ignored_scaling(config.get("version"), is_as_trained)
    if stored.get("architecture") == "union" and not is_as_trained:
        is_unscaled = False  # `adapters` 1.3 repairs no LoRA inside a union.
    return HubFile(
        name=str(config["name"]),
        facts=facts,
        ledger=ledger,
        is_lora_unscaled=is_unscaled,
        # Merged projections were always scaled; the repair of 1.3 hits them all the same.
        is_merged_unscaled=is_unscaled and not is_as_trained,
        options=options,
    )


def _children(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if config.get("architecture") != "union":
        yield config
        return
    children = config.get("configs")
    if not isinstance(children, (list, tuple)) or not children:
        raise BadConfig("A union needs a list of configurations under configs.")
    for child in children:
        # Inside a union the library knows its own keys only, also of what it named itself.
        own = {key: value for key, value in expand_config(child).items() if key != UNSAVED_KEY}
        yield from _children(own)


def _read_one(
    stored: Mapping[str, Any], current: Mapping[str, Any], top: Mapping[str, Any], file: HubFile
) -> list[Part]:
    before, after = stored.get("non_linearity"), current.get("non_linearity")
    if before != after:
        message = f"The file states no version, so its activation {before} means {after}."
        file.notes.append(Note("activation_renamed", message))
    architecture = _architecture(current)
    parts = _READERS[architecture](current, file)
    return parts + (_read_invertible(current, top, file) if architecture == _BOTTLENECK else [])


def _architecture(current: Mapping[str, Any]) -> str:
    architecture = str(current.get("architecture") or _BOTTLENECK)
    if architecture not in _READERS:
        known = ", ".join(_READERS)
        message = f"The architecture {architecture[:200]!r} is not supported; known are {known}."
        raise BadConfig(message, "unsupported_method")
    return architecture


def _read_invertible(
    current: Mapping[str, Any], top: Mapping[str, Any], file: HubFile
) -> list[Part]:
    """The invertible block of a bottleneck; the first task adapters named one and had none."""
    is_lacking = bool(current.get("inv_adapter")) and not holds_invertible(file)
    if is_lacking and top.get("type") == "text_task":
        message = "Its configuration names an invertible block that task adapters never had."
        file.notes.append(Note("invertible_dropped", message))
        return []
    if is_lacking and current["inv_adapter"] == "nice":
        message = (
            "The configuration names an invertible block (nice) that the file does not hold; "
            "restore the file, or set inv_adapter to null if the adapter never had one."
        )
        raise BadConfig(message, "missing_tensor")
    return read_invertible(current, file)


def _counted(parts: list[Part]) -> list[Part]:
    """Edits of last tokens find them where the library does: as if its prompt were not there."""
    prompts = [len(part.tensors["vectors"]) for part in parts if part.method == Prompt.name]
    if not prompts:
        return parts
    return [
        replace(part, settings=replace(part.settings, num_uncounted=prompts[0]))
        if isinstance(part.settings, ReftSettings)
        else part
        for part in parts
    ]


def _distinct(parts: list[Part], ledger: Ledger) -> tuple[Part, ...]:
    seen = set()
    for part in parts:
        place = (_FAMILIES.get(part.method, part.method), part.point)
        if place in seen:
            message = f"Two configurations of one union both act at {part.point}; save one of them."
            ledger.problem("bad_config", message)
        seen.add(place)
    return tuple(parts)
