"""AdapterFusion layers in AdapterHub files: configuration keys, tensor names and shapes.

Source: https://docs.adapterhub.ml/adapter_composition.html#fuse; `AdapterFusionLoader` and class
`AdapterFusionConfig` of the `adapters` library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapter_runtime.methods.configuration import BadConfig, HubFile, boolean
from adapter_runtime.methods.fusion import Fusion, FusionSettings
from adapter_runtime.types import Note, Part, PlugPoint

FIRST_TEMPERATURE = 50.0
"""Where the library's temperature starts in a model that has just been loaded."""

_LAYER = "adapter_fusion_layer"
_NAMED: Mapping[str, Mapping[str, Any]] = {"dynamic": {}, "static": {"value": False}}


def expand_fusion(config: Any) -> Mapping[str, Any]:
    """A fusion configuration as a mapping; old files may hold only its name.

    Raises:
        BadConfig: it is neither.
    """
    if config is None:
        return {}
    if isinstance(config, str) and config in _NAMED:
        return _NAMED[config]
    if isinstance(config, Mapping):
        return config
    raise BadConfig(f"config must be a mapping, dynamic or static, not {config!r:.200}.")


def read_fusion(
    config: Mapping[str, Any], file: HubFile, temperature: float | None
) -> tuple[list[Part], list[Note]]:
    """The Parts of one fusion layer, wherever the file has it; problems go to the file's ledger.

    Args:
        config: from `expand_fusion`.
        file: `name` is the fusion's name.
        temperature: what divides the scores where the configuration asks for a temperature; the
            library's first by default.

    Raises:
        BadConfig: a configuration value cannot be used.
    """
    settings, notes = _settings(config, temperature)
    _set_others_aside(file)
    names = [name.split(".") for name in file.ledger.names()]
    parts = []
    for point, path in file.facts.adapter_paths.items():
        prefix = [*path.split("."), _LAYER, file.name]
        if any(name[: len(prefix)] == prefix for name in names):
            parts.append(_read_part(point, ".".join(prefix), settings, file))
    if not parts:
        file.ledger.problem("missing_tensor", f"There is no {_LAYER}.{file.name} in the file.")
    return parts, notes


def _settings(
    config: Mapping[str, Any], temperature: float | None
) -> tuple[FusionSettings, list[Note]]:
    notes, divisor = [], 1.0
    if boolean(config, "temperature"):
        divisor = FIRST_TEMPERATURE if temperature is None else temperature
        message = (
            f"Its scores are divided by {divisor:g}: the file does not hold the temperature, which "
            f"the library starts at {FIRST_TEMPERATURE:g} whenever a model is loaded and lowers "
            "with every forward; see fusion_temperature."
        )
        notes.append(Note("fusion_temperature", message))
    settings = FusionSettings(
        has_query=boolean(config, "query", True),
        has_key=boolean(config, "key", True),
        has_value=boolean(config, "value", True),
        query_before_ln=boolean(config, "query_before_ln"),
        residual_before=boolean(config, "residual_before"),
        temperature=divisor,
    )
    return settings, notes


def _set_others_aside(file: HubFile) -> None:
    """The library saves by the beginning of a name: with `a` goes all of `ab`."""
    others = []
    for name in file.ledger.names():
        segments = name.split(".")
        if _LAYER in segments[:-1]:
            owner = segments[segments.index(_LAYER) + 1]
            if owner != file.name and owner.startswith(file.name):
                others.append(name)
    file.ledger.alias(others, "another fusion's")


def _read_part(point: PlugPoint, path: str, settings: FusionSettings, file: HubFile) -> Part:
    width = file.facts.hidden_size
    shapes = {
        f"{name}_{kind}": (width, width) if kind == "weight" else (width,)
        for name in settings.projections
        for kind in ("weight", "bias")
        if (name, kind) != ("value", "bias")
    }
    tensors = {
        name: file.ledger.take(f"{path}.{name.replace('_', '.')}", shape)
        for name, shape in shapes.items()
    }
    if not settings.projections:
        # Without projections the library makes a layer that it never asks.
        file.ledger.alias([f"{path}.dense.weight", f"{path}.dense.bias"], "never read")
    return Part(Fusion.name, point, settings, tensors)
