"""LoRA and (IA)³ in AdapterHub files: configuration keys, tensor names and shapes.

Both have the architecture `lora`; `composition_mode: scale` makes it (IA)³.
Source: https://docs.adapterhub.ml/methods.html; class `LoRAConfig` of the `adapters` library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from adapter_runtime.methods.configuration import (
    BadConfig,
    HubFile,
    boolean,
    number,
    positive_integer,
)
from adapter_runtime.methods.ia3 import Ia3, Ia3Settings
from adapter_runtime.methods.lora import Lora, LoraSettings
from adapter_runtime.types import Part, PlugPoint, Site

ATTENTION_SITES = {"q": Site.QUERY, "k": Site.KEY, "v": Site.VALUE}
LINEAR_SITES = {"intermediate_lora": Site.FFN_IN, "output_lora": Site.FFN_OUT}
_UNSUPPORTED = {"use_dora": "DoRA", "vera_d": "VeRA", "vera_b": "VeRA"}
GATE_NAMES = {"gate_weight": "gate.weight", "gate_bias": "gate.bias"}
LORA_NAMES = {"down": "lora_A", "up": "lora_B"}


def read_lora(config: Mapping[str, Any], file: HubFile) -> list[Part]:
    """The Parts of one LoRA or (IA)³ configuration; problems go to the file's ledger.

    Raises:
        BadConfig: a configuration value cannot be used.
    """
    for key, method in _UNSUPPORTED.items():
        if config.get(key) not in (None, False):
            raise BadConfig(f"{method} ({key}) is not supported.", "unsupported_method")
    mode = config.get("composition_mode", "add")
    if mode not in ("add", "scale"):
        raise BadConfig(f"composition_mode must be add or scale, not {mode!r}.")
    read_part = _read_lora_part if mode == "add" else _read_ia3_part
    return [read_part(point, config, file) for point in file.points(config, lora_sites(config))]


def lora_sites(config: Mapping[str, Any]) -> list[Site]:
    """The linears that a configuration names.

    Raises:
        BadConfig: attn_matrices is no list.
    """
    sites: list[Site] = []
    if boolean(config, "selfattn_lora", True):
        matrices = config.get("attn_matrices", ("q", "v"))
        if not isinstance(matrices, (list, tuple, str)):
            raise BadConfig(f"attn_matrices must be a list of q, k and v, not {matrices!r}.")
        sites += [site for key, site in ATTENTION_SITES.items() if key in matrices]
    return sites + [site for key, site in LINEAR_SITES.items() if boolean(config, key)]


def _read_lora_part(point: PlugPoint, config: Mapping[str, Any], file: HubFile) -> Part:
    rank = positive_integer(config.get("r", 8), "r")
    alpha = number(config, "alpha", 8)
    use_gating = boolean(config, "use_gating")
    is_unscaled = use_gating or file.is_lora_unscaled
    settings = LoraSettings(1.0 if is_unscaled else alpha / rank, use_gating)
    width_out, width_in = file.facts.shapes[point]
    path = _path(point, file)
    tensors = {
        "down": file.ledger.take(f"{path}.lora_A", (rank, width_in)),
        "up": file.ledger.take(f"{path}.lora_B", (width_out, rank)),
    }
    return Part(Lora.name, point, settings, tensors | _read_gate(path, use_gating, width_in, file))


def _read_ia3_part(point: PlugPoint, config: Mapping[str, Any], file: HubFile) -> Part:
    if config.get("r", 8) != 1:
        raise BadConfig("composition_mode: scale needs r: 1.")
    use_gating = boolean(config, "use_gating")
    alpha = 1.0 if file.is_lora_unscaled else number(config, "alpha", 8)
    width_out, width_in = file.facts.shapes[point]
    path = _path(point, file)
    scale = file.ledger.take(f"{path}.lora_B", (width_out, 1)).flatten()
    gate = _read_gate(path, use_gating, width_in, file)
    return Part(Ia3.name, point, Ia3Settings(alpha, use_gating), {"scale": scale} | gate)


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


def write_lora(part: Part, name: str, path: str) -> dict[str, Tensor]:
    """A LoRA or (IA)³ Part's tensors under their names in an AdapterHub file.

    Args:
        part: the Part.
        name: the adapter's name.
        path: the linear's path.
    """
    tensors = dict(part.tensors)
    if "scale" in tensors:
        tensors["up"] = tensors.pop("scale").unsqueeze(1)
    names = LORA_NAMES | GATE_NAMES
    return {f"{path}.loras.{name}.{names[ours]}": tensor for ours, tensor in tensors.items()}
