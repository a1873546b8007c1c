"""The equations of AdapterHub's methods in plain torch, from tensors as files name them.

Written from the formats' description alone: one row at a time, loops where they are plainest, and
nothing shared with the product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Tensors = Mapping[str, Tensor]
ACTIVATIONS: Mapping[str | None, Callable[[Tensor], Tensor]] = {
    None: lambda x: x,
    "relu": torch.relu,
    "swish": lambda x: x * torch.sigmoid(x),
    "tanh": torch.tanh,
    "gelu": lambda x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2))),
    "gelu_new": lambda x: (
        0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    ),
    "leakyrelu": lambda x: torch.where(x > 0, x, 0.01 * x),
}


def below(tensors: Tensors, path: str) -> dict[str, Tensor]:
    """The tensors under a path, by the rest of their names."""
    return {
        name.removeprefix(f"{path}."): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{path}.")
    }


def gate(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The mean of the sigmoid over a row. Shape: `[tokens, in]` to `[gates]`."""
    return torch.sigmoid(x @ weight.t() + bias).mean(0)


def kronecker(rule: Tensor, core: Tensor) -> Tensor:
    """The sum of the products, entry by entry."""
    total = torch.zeros(rule.shape[1] * core.shape[1], rule.shape[2] * core.shape[2])
    for one, other in zip(rule, core, strict=True):
        total += torch.kron(one, other)
    return total


def compacter_linear(config: Mapping[str, Any], own: Tensors, shared: Tensors, side: str) -> Tensor:
    """`H` of one linear, `[in, out]`."""
    rules = shared if config.get("shared_phm_rule", True) else own
    if config.get("factorized_phm_rule"):
        rule = rules["phm_rule_left"] @ rules["phm_rule_right"]
    else:
        rule = rules["phm_rule"]
    is_shared = config.get("shared_W_phm", False)
    cores, name = (shared, f"W_{side}") if is_shared else (own, "W")
    if config.get("factorized_phm_W", True):
        return kronecker(rule, cores[f"{name}_left"] @ cores[f"{name}_right"])
    return kronecker(rule, cores[name])


def project(
    config: Mapping[str, Any], own: Tensors, shared: Tensors, side: str, x: Tensor
) -> Tensor:
    """A linear of a block, plain or of Kronecker products."""
    if not config.get("phm_layer"):
        return functional.linear(x, own["weight"], own["bias"])
    y = x @ compacter_linear(config, own, shared, side)
    return y + own["b"] if config.get("phm_bias", True) else y


def bottleneck(
    config: Mapping[str, Any],
    own: Tensors,
    shared: Tensors,
    h: Tensor,
    inp: Tensor,
    norm: Callable[[Tensor], Tensor],
) -> Tensor:
    """A sublayer's output with one bottleneck, for one row. Shape: `[tokens, width]` each."""
    z = residual = h
    if config.get("is_parallel"):
        z = inp
    elif config.get("original_ln_before"):
        z = h + inp
        residual = z if config.get("residual_before_ln", True) == "post_add" else residual
        z = norm(z)
    if not config.get("residual_before_ln", True):
        residual = z
    down = "adapter_down.1" if config.get("ln_before") else "adapter_down.0"
    x = inner_norm(own, "adapter_norm_before", z) if config.get("ln_before") else z
    x = project(config, below(own, down), shared, "down", x)
    x = ACTIVATIONS[config["non_linearity"]](x)
    u = project(config, below(own, "adapter_up"), shared, "up", x)
    u = u * own.get("scaling", config.get("scaling", 1.0))
    if config.get("use_gating"):
        u = u * gate(z, own["gate.weight"], own["gate.bias"])
    y = close(config, own, u, residual, h)
    return norm(y + inp) if config.get("original_ln_after", True) else y


def close(
    config: Mapping[str, Any], own: Tensors, u: Tensor, residual: Tensor, h: Tensor
) -> Tensor:
    """The block's own residual and its norm after."""
    has_norm = config.get("ln_after", False)
    if config.get("is_parallel"):
        return h + (inner_norm(own, "adapter_norm_after", u) if has_norm else u)
    if not has_norm:
        return u + residual
    if config.get("adapter_residual_before_ln"):
        return inner_norm(own, "adapter_norm_after", u + residual)
    return inner_norm(own, "adapter_norm_after", u) + residual


def inner_norm(own: Tensors, name: str, x: Tensor) -> Tensor:
    """A block's own LayerNorm, whatever the backbone's epsilon is."""
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, correction=0, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5) * own[f"{name}.weight"] + own[f"{name}.bias"]


def product(config: Mapping[str, Any], own: Tensors, shared: Tensors) -> Tensor:
    """The unscaled change of a linear's weight, `[out, in]`."""
    if config["architecture"] == "mtl_lora":
        weights = torch.exp(own["weights"] / config["weights_sharpness"])
        weights = weights / weights.sum()
        middle = torch.diag(own["task_specific.values"])
        ups = zip(weights, own["lora_B"], strict=True)
        return sum(weight * (up @ middle.t() @ own["lora_A"]) for weight, up in ups)
    if config.get("vera_d") is not None:
        return own["vera_B"] @ shared["lora_B"] @ own["vera_D"] @ shared["lora_A"]
    return own["lora_B"] @ own["lora_A"]


def linear(
    config: Mapping[str, Any],
    own: Tensors,
    shared: Tensors,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
) -> Tensor:
    """A frozen linear with one of LoRA's kin, for one row."""
    y = x @ weight.t() + bias
    factor: Any = config["alpha"] / config["r"]
    if config.get("use_gating"):
        factor = gate(x, own["gate.weight"], own["gate.bias"])
    if config.get("composition_mode") == "scale":
        scale = factor if config.get("use_gating") else config["alpha"]
        return y * own["lora_B"][:, 0] * scale
    change = product(config, own, shared)
    added = (x @ change.t()) * factor
    if not config.get("use_dora"):
        return y + added
    return own["m.weight"][:, 0] / torch.linalg.norm(weight + change, dim=1) * (y + added)


def merged(
    config: Mapping[str, Any], own: Tensors, x: Tensor, weight: Tensor, bias: Tensor
) -> Tensor:
    """A merged projection with LoRA or (IA)³, third by third, for one row."""
    y = x @ weight.t() + bias
    chosen = [key for key in "qkv" if key in config["attn_matrices"]]
    size, thirds = len(weight) // 3, []
    for place, key in enumerate("qkv"):
        third = y[:, place * size : (place + 1) * size]
        number = chosen.index(key) if key in chosen else None
        thirds.append(_third(config, own, x, third, number))
    return torch.cat(thirds, -1)


def _third(
    config: Mapping[str, Any], own: Tensors, x: Tensor, third: Tensor, number: int | None
) -> Tensor:
    is_scaled, rank, size = config["composition_mode"] == "scale", config["r"], third.shape[1]
    factor: Any = config["alpha"] if is_scaled else config["alpha"] / rank
    if config["use_gating"]:
        factor = 1.0
        if number is not None:
            factor = gate(x, own["gate.weight"], own["gate.bias"])[number]
    if number is None:
        return third * factor if is_scaled else third
    up = own["lora_B"][number * size : (number + 1) * size]
    if is_scaled:
        return third * up[:, 0] * factor
    return third + x @ own["lora_A"][number * rank : (number + 1) * rank].t() @ up.t() * factor


def reft(config: Mapping[str, Any], own: Tensors, states: Tensor) -> Tensor:
    """One row's states after a layer, as the library gathers and scatters them."""
    length = len(states)
    first = min(config["prefix_positions"], length)
    last = min(config["suffix_positions"], length)
    prefix, suffix = states[:first], states[length - last :]
    units = [0, 0] if config["tied_weights"] else [0, 1]
    edited = torch.cat(
        [
            edit(config, below(own, f"units.{unit}"), part)
            for unit, part in zip(units, (prefix, suffix), strict=True)
        ]
    )
    changed = states.clone()
    changed[:first] = edited[: config["prefix_positions"]][:first]
    if config["suffix_positions"]:
        changed[length - last :] = edited[-config["suffix_positions"] :][:last]
    return changed


def edit(config: Mapping[str, Any], unit: Tensors, x: Tensor) -> Tensor:
    """`h + R^T (act(W h + b) - R h)`, or without `R h`."""
    projection = unit["projection.weight"]
    source = x @ unit["learned_source.weight"].t() + unit["learned_source.bias"]
    source = ACTIVATIONS[config["non_linearity"]](source)
    if config.get("subtract_projection", True):
        source = source - x @ projection.t()
    return x + source @ projection
