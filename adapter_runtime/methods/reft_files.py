"""ReFT in AdapterHub files: configuration keys, tensor names and shapes.

An orthogonal projection is stored as torch's parametrisation of it and computed when it is read.
No file of the library says whether it is DiReFT, which does not take the states' projection away:
the library itself reads it as NoReFT. The option `reft_subtract_projection: false` says it, or the
key `subtract_projection`, which the library reads but does not write.

Source: `ReftModule` of the `adapters` library; `torch.nn.utils.parametrizations.orthogonal`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from adapter_runtime.methods.configuration import (
    MAX_WIDTH,
    BadConfig,
    HubFile,
    activation_name,
    boolean,
    check_dtype,
    positive_integer,
)
from adapter_runtime.methods.reft import Reft, ReftSettings
from adapter_runtime.types import Note, Part, PlugPoint, Site

REQUIRED_KEYS = ("layers", "prefix_positions", "suffix_positions", "r", "orthogonality")
OPTION, KEY = "reft_subtract_projection", "subtract_projection"
_NAMES = {
    "source_weight": "learned_source.weight",
    "source_bias": "learned_source.bias",
    "projection": "projection.weight",
}
_PARAMETRISED = "projection.parametrizations.weight"


def read_reft(config: Mapping[str, Any], file: HubFile) -> list[Part]:
    """The Parts of one ReFT configuration; problems go to the file's ledger.

    Raises:
        BadConfig: a configuration value cannot be used.
    """
    missing = [key for key in REQUIRED_KEYS if key not in config]
    if missing:
        raise BadConfig(f"The adapter configuration lacks {', '.join(missing)}.")
    check_dtype(config)
    settings = _settings(config, file)
    if KEY not in config and not boolean(config, "orthogonality"):
        _note(settings, file)
    points = [point for point in _points(config, file) if _is_chosen(point.layer, config)]
    return [_read_part(point, settings, config, file) for point in points]


def _settings(config: Mapping[str, Any], file: HubFile) -> ReftSettings:
    name = config.get("non_linearity")
    return ReftSettings(
        prefix_positions=_positions(config, "prefix_positions"),
        suffix_positions=_positions(config, "suffix_positions"),
        activation=None if name is None else activation_name(name),
        subtracts=boolean(config, KEY, True) and bool(file.options.get(OPTION, True)),
    )


def _positions(config: Mapping[str, Any], key: str) -> int:
    value = config[key]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_WIDTH:
        raise BadConfig(f"{key} must be an integer of 0 to {MAX_WIDTH}, not {value!r:.200}.")
    return value


def _note(settings: ReftSettings, file: HubFile) -> None:
    message = (
        "Read as NoReFT, as its library does: a DiReFT file looks the same; if it is one, set the "
        "option reft_subtract_projection: false."
        if settings.subtracts
        else "Read as DiReFT, because reft_subtract_projection is false."
    )
    file.notes.append(Note("reft_projection", message))


def _points(config: Mapping[str, Any], file: HubFile) -> list[PlugPoint]:
    return list(file.points(config, [Site.LAYER])) if boolean(config, "output_reft", True) else []


def _is_chosen(layer: int, config: Mapping[str, Any]) -> bool:
    layers = config["layers"]
    if layers == "all":
        return True
    if not isinstance(layers, (list, tuple)):
        raise BadConfig(f"layers must be all or a list of layer numbers, not {layers!r:.200}.")
    return layer in layers


def _read_part(
    point: PlugPoint, settings: ReftSettings, config: Mapping[str, Any], file: HubFile
) -> Part:
    rank, width = positive_integer(config["r"], "r"), file.facts.hidden_size
    if rank > width and boolean(config, "orthogonality"):
        raise BadConfig(f"orthogonality needs r of at most {width}, not {rank}.")
    is_tied = boolean(config, "tied_weights")
    tensors: dict[str, Tensor] = {}
    for unit in (0,) if is_tied else (0, 1):
        path = f"{file.facts.layer_paths[point.layer]}.reft_layer.refts.{file.name}.units.{unit}"
        found = {
            f"source_weight_{unit}": file.ledger.take(
                f"{path}.learned_source.weight", (rank, width)
            ),
            f"source_bias_{unit}": file.ledger.take(f"{path}.learned_source.bias", (rank,)),
            f"projection_{unit}": _projection(path, (rank, width), config, file),
        }
        # The library also saves a unit for ends of no positions.
        if unit == 0 or settings.suffix_positions:
            tensors |= found
    return Part(Reft.name, point, settings, tensors)


def _projection(
    path: str, shape: tuple[int, int], config: Mapping[str, Any], file: HubFile
) -> Tensor:
    if not boolean(config, "orthogonality"):
        return file.ledger.take(f"{path}.projection.weight", shape)
    width = shape[1]
    original = file.ledger.take(f"{path}.{_PARAMETRISED}.original", shape)
    base = file.ledger.take(f"{path}.{_PARAMETRISED}.0.base", (width, width))
    return orthogonal(original, base) if file.ledger.is_sound and width > 1 else original


def orthogonal(original: Tensor, base: Tensor) -> Tensor:
    """The projection of which torch stores these two. Shape: `[r, width]`, `[width, width]`."""
    rank, width = original.shape
    # Making the module draws numbers, which shall be nobody else's business.
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        linear = parametrizations.orthogonal(nn.Linear(width, rank, bias=False))
        linear.load_state_dict(
            {"parametrizations.weight.original": original, "parametrizations.weight.0.base": base}
        )
        weight = linear.weight
    assert isinstance(weight, Tensor), "A linear has a weight. This is a bug."
    return weight.clone()


def write_reft(part: Part, name: str, path: str) -> dict[str, Tensor]:
    """A Part's tensors under their names in an AdapterHub file, its projection as it is.

    Args:
        part: a ReFT Part.
        name: the adapter's name.
        path: the layer's path.
    """
    written: dict[str, Tensor] = {}
    num_units = 1 + ("projection_1" in part.tensors)
    for unit in range(num_units):
        below = f"{path}.reft_layer.refts.{name}.units.{unit}"
        for ours, theirs in _NAMES.items():
            written[f"{below}.{theirs}"] = part.tensors[f"{ours}_{unit}"]
    return written
