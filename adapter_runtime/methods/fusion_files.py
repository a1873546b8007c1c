"""AdapterFusion layers in AdapterHub files: configuration keys, tensor names and shapes.

Source: https://docs.adapterhub.ml/adapter_composition.html#fuse; `AdapterFusionLoader` and class
`AdapterFusionConfig` of the `adapters` library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from adapter_runtime.methods.configuration import BadConfig, HubFile, boolean
from adapter_runtime.methods.fusion import Fusion, FusionSettings
from adapter_runtime.types import Note, Part, PlugPoint

FIRST_TEMPERATURE = 50.0
"""Where the library's temperature starts in a model that has just been loaded."""

_DEFAULTS: Mapping[str, Any] = {
    "key": True,
    "query": True,
    "value": True,
    "query_before_ln": False,
    "regularization": True,
    "residual_before": False,
    "temperature": False,
    "value_before_softmax": True,
    "value_initialized": True,
    "dropout_prob": None,
}
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


def untempered(part: Part) -> Part:
    """The same layer without a temperature: it is folded into the queries, or else the keys.

    A layer that has neither stays as it is.
    """
    settings = part.settings
    assert isinstance(settings, FusionSettings), "Foreign settings. This is a bug."
    scorers = [name for name in ("query", "key") if name in settings.projections]
    if settings.temperature == 1.0 or not scorers:
        return part
    tensors = {
        name: tensor / settings.temperature if name.startswith(f"{scorers[0]}_") else tensor
        for name, tensor in part.tensors.items()
    }
    return replace(part, settings=replace(settings, temperature=1.0), tensors=tensors)


def write_fusion(
    stored: Mapping[str, Any], parts: Sequence[Part], file: HubFile
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The inverse of `read_fusion`: a whole configuration and the tensors by bare names.

    Args:
        stored: from `expand_fusion`.
        parts: the layer's.
        file: `name` is the fusion's name; its ledger is not looked at.

    Raises:
        BadConfig: the layer has a temperature that neither the file nor its weights can hold.
    """
    config = {key: stored.get(key, value) for key, value in _DEFAULTS.items()}
    width, tensors = file.facts.hidden_size, dict[str, Tensor]()
    for part in parts:
        settings = part.settings
        assert isinstance(settings, FusionSettings), "Foreign settings. This is a bug."
        if settings.temperature != FIRST_TEMPERATURE:
            part, config["temperature"] = untempered(part), False
            if part.settings != replace(settings, temperature=1.0):
                raise BadConfig("its scores have a temperature, and no query or key to fold it in")
        path = f"{file.facts.adapter_paths[part.point]}.{_LAYER}.{file.name}"
        for name, tensor in part.tensors.items():
            tensors[f"{path}.{name.replace('_', '.')}"] = tensor
        if not settings.projections:
            # The library makes this layer, never asks it, and wants it in the file.
            tensors[f"{path}.dense.weight"] = torch.zeros(1, width)
            tensors[f"{path}.dense.bias"] = torch.zeros(1)
    return config, tensors
