"""LoRA and its kin in AdapterHub files: configuration keys, tensor names and shapes.

One architecture, `lora`, means five methods: LoRA, (IA)³ (`composition_mode: scale`), VeRA
(`vera_d`, `vera_b`), DoRA (`use_dora`) and both; `mtl_lora` is a sixth. VeRA and MTL-LoRA are
LoRA with factors that several tensors make up.

Source: https://docs.adapterhub.ml/methods.html; `LoRALinear` and `LoRAMergedLinear` of the
`adapters` library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from adapter_runtime.methods.configuration import (
    BadConfig,
    HubFile,
    boolean,
    check_dtype,
    number,
    positive_integer,
)
from adapter_runtime.methods.dora import Dora, DoraSettings
from adapter_runtime.methods.factor_files import Factors, lora_factors, mtl_factors, vera_factors
from adapter_runtime.methods.ia3 import Ia3, Ia3Settings
from adapter_runtime.methods.lora import Lora, LoraSettings
from adapter_runtime.methods.merged_files import (
    chosen_thirds,
    read_merged_factors,
    read_merged_gates,
    read_merged_scale,
    write_merged,
)
from adapter_runtime.types import Note, Part, PlugPoint, Site

MATRIX_SITES: Mapping[str, tuple[Site, ...]] = {
    "q": (Site.QUERY, Site.CROSS_QUERY),
    "k": (Site.KEY, Site.CROSS_KEY),
    "v": (Site.VALUE, Site.CROSS_VALUE),
}
"""What `attn_matrices` may name; cross attention has what self attention has."""
GATE_NAMES = {"gate_weight": "gate.weight", "gate_bias": "gate.bias"}
_NAMES = {"down": "lora_A", "up": "lora_B", "magnitude": "m.weight"} | GATE_NAMES


def read_lora(config: Mapping[str, Any], file: HubFile) -> list[Part]:
    """The Parts of one `lora` configuration; problems go to the file's ledger.

    Raises:
        BadConfig: a configuration value cannot be used.
    """
    mode = config.get("composition_mode", "add")
    if mode not in ("add", "scale"):
        raise BadConfig(f"composition_mode must be add or scale, not {mode!r:.200}.")
    check_dtype(config)
    if mode == "scale":
        return [_read_ia3(point, config, file) for point in lora_points(config, file)]
    rank = positive_integer(config.get("r", 8), "r")
    number(config, "alpha", 8)
    # The library looks for a float, as it writes one.
    is_vera = any(isinstance(config.get(key), float) for key in ("vera_d", "vera_b"))
    read = vera_factors(rank) if is_vera else lora_factors(rank)
    return [
        _read_merged(point, rank, config, file, is_vera=is_vera)
        if point.site is Site.QKV
        else _read_product(point, config, file, read)
        for point in lora_points(config, file)
    ]


def read_mtl_lora(config: Mapping[str, Any], file: HubFile) -> list[Part]:
    """The Parts of one `mtl_lora` configuration; problems go to the file's ledger.

    Raises:
        BadConfig: a configuration value cannot be used, or the library itself cannot run it.
    """
    refused = {
        "task_specific_matrix_type: linear": config.get("task_specific_matrix_type") == "linear",
        "composition_mode: scale": config.get("composition_mode", "add") != "add",
        "use_dora": boolean(config, "use_dora"),
        "vera_d": config.get("vera_d") is not None,
        "vera_b": config.get("vera_b") is not None,
        "hooked models": file.facts.is_hooked,
    }
    points = list(lora_points(config, file))
    refused["merged projections"] = any(point.site is Site.QKV for point in points)
    for what, is_asked in refused.items():
        if is_asked:
            message = f"MTL-LoRA with {what} cannot be run by the library that defines it."
            raise BadConfig(message, "unsupported_method")
    check_dtype(config)
    number(config, "alpha", 8)
    read = mtl_factors(config)
    return [_read_product(point, config, file, read) for point in points]


def lora_points(config: Mapping[str, Any], file: HubFile) -> list[PlugPoint]:
    """The linears that a configuration names, layer by layer.

    Raises:
        BadConfig: a value cannot be used.
    """
    matrices = attention_matrices(config)
    sites: list[Site] = []
    if matrices and boolean(config, "selfattn_lora", True):
        sites += [site for key in matrices for site in MATRIX_SITES[key]] + [Site.QKV]
    sites += [site for key, site in file.facts.lora_sites.items() if boolean(config, key)]
    return list(file.points(config, sites))


def attention_matrices(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Which of q, k and v a configuration names, in this order.

    Raises:
        BadConfig: attn_matrices is no list.
    """
    matrices = config.get("attn_matrices", ("q", "v"))
    if not isinstance(matrices, (list, tuple, str)):
        raise BadConfig(f"attn_matrices must be a list of q, k and v, not {matrices!r:.200}.")
    return tuple(key for key in MATRIX_SITES if key in matrices)


def _read_product(
    point: PlugPoint, config: Mapping[str, Any], file: HubFile, read: Factors
) -> Part:
    """A LoRA or DoRA Part, whatever its factors are made of."""
    path, shape = _path(point, file), file.facts.shapes[point]
    use_gating = boolean(config, "use_gating")
    tensors = read(path, shape, file) | _read_gate(path, use_gating, shape[1], file)
    scale = product_scale(config, is_unscaled=use_gating or file.is_lora_unscaled)
    if not boolean(config, "use_dora"):
        return Part(Lora.name, point, LoraSettings(scale, use_gating), tensors)
    tensors["magnitude"] = file.ledger.take(f"{path}.m.weight", (shape[0], 1)).flatten()
    return Part(Dora.name, point, DoraSettings(scale, use_gating=use_gating), tensors)


def product_scale(config: Mapping[str, Any], *, is_unscaled: bool) -> float:
    """What a low-rank product is multiplied by.

    Raises:
        BadConfig: rank or alpha are no such numbers.
    """
    rank, alpha = positive_integer(config.get("r", 8), "r"), number(config, "alpha", 8)
    return 1.0 if is_unscaled else alpha / rank


def _read_merged(
    point: PlugPoint, rank: int, config: Mapping[str, Any], file: HubFile, *, is_vera: bool
) -> Part:
    """LoRA of a merged projection, where the library runs neither VeRA nor DoRA."""
    if is_vera:
        message = f"VeRA in {point} cannot be run by the library: it is a merged projection."
        raise BadConfig(message, "unsupported_method")
    path, shape = _path(point, file), file.facts.shapes[point]
    thirds = chosen_thirds(attention_matrices(config))
    tensors = read_merged_factors(path, rank, shape, thirds, file.ledger)
    use_gating = boolean(config, "use_gating")
    if use_gating:
        tensors |= read_merged_gates(path, shape, thirds, file.ledger)
    if boolean(config, "use_dora"):
        _drop_magnitude(path, file)
    scale = product_scale(config, is_unscaled=use_gating or file.is_merged_unscaled)
    return Part(Lora.name, point, LoraSettings(scale, use_gating), tensors)


def _drop_magnitude(path: str, file: HubFile) -> None:
    file.ledger.alias([f"{path}.m.weight"], "unread by its own library")
    message = "The library runs DoRA in merged projections as plain LoRA, and so do we."
    if message not in (note.message for note in file.notes):
        file.notes.append(Note("dora_ignored", message))


def _read_ia3(point: PlugPoint, config: Mapping[str, Any], file: HubFile) -> Part:
    if config.get("r", 8) != 1:
        raise BadConfig("composition_mode: scale needs r: 1.")
    if boolean(config, "use_dora"):
        raise BadConfig("composition_mode: scale excludes use_dora; set it to false.")
    use_gating, is_merged = boolean(config, "use_gating"), point.site is Site.QKV
    is_unscaled = file.is_merged_unscaled if is_merged else file.is_lora_unscaled
    settings = Ia3Settings(1.0 if is_unscaled else number(config, "alpha", 8), use_gating)
    path, shape, ledger = _path(point, file), file.facts.shapes[point], file.ledger
    if is_merged:
        thirds = chosen_thirds(attention_matrices(config))
        tensors = read_merged_scale(path, shape, thirds, ledger)
        tensors |= read_merged_gates(path, shape, thirds, ledger) if use_gating else {}
    else:
        tensors = {"scale": ledger.take(f"{path}.lora_B", (shape[0], 1)).flatten()}
        tensors |= _read_gate(path, use_gating, shape[1], file)
    return Part(Ia3.name, point, settings, tensors)


def _read_gate(path: str, use_gating: bool, width_in: int, file: HubFile) -> dict[str, Tensor]:
    if not use_gating:
        return {}
    shapes = {"gate_weight": (1, width_in), "gate_bias": (1,)}
    return {
        ours: file.ledger.take(f"{path}.{theirs}", shapes[ours])
        for ours, theirs in GATE_NAMES.items()
    }


def _path(point: PlugPoint, file: HubFile) -> str:
    return f"{file.facts.path(point)}.loras.{file.name}"


def write_lora(part: Part, name: str, path: str, matrices: Sequence[str]) -> dict[str, Tensor]:
    """The tensors of a LoRA, DoRA or (IA)³ Part under their names in an AdapterHub file.

    Args:
        part: the Part.
        name: the adapter's name.
        path: the linear's path.
        matrices: what the written configuration's `attn_matrices` says.
    """
    tensors = dict(part.tensors)
    if part.point.site is Site.QKV:
        tensors = write_merged(tensors, chosen_thirds(matrices))
    if "scale" in tensors:
        tensors["up"] = tensors.pop("scale").unsqueeze(1)
    if "magnitude" in tensors:
        tensors["magnitude"] = tensors["magnitude"].unsqueeze(1)
    return {f"{path}.loras.{name}.{_NAMES[ours]}": tensor for ours, tensor in tensors.items()}
