"""How the `adapters` library starts each tensor of a new adapter.

Source: the constructors of its modules, version 1.3.0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.ledger import Ledger
from adapter_runtime.types import PlugPoint

_BERT_STD, _HOULSBY_STD, _RULE_STD = 0.02, 0.01, 0.01
_PROMPT_RANGE = 0.5
_KAIMING_SLOPE = math.sqrt(5)


class FreshTensors(Ledger):
    """A ledger that makes each tensor that is asked for, once, by the library's initialisation.

    Args:
        config: the adapter's configuration.
        facts: the backbone.
        bases: the frozen module behind each module point; only DoRA reads them.
        generator: where the random numbers come from.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        facts: BackboneFacts,
        bases: Mapping[PlugPoint, nn.Module],
        generator: torch.Generator | None,
    ) -> None:
        super().__init__({})
        self.config = config
        self.init = config.get("init_weights", "lora" if config.get("architecture") else "bert")
        self.generator = generator
        self._facts = facts
        self._bases = bases
        self._made: dict[str, Tensor] = {}

    def __contains__(self, name: str) -> bool:
        return True

    def take(self, name: str, shape: Sequence[int]) -> Tensor:
        """The tensor of that name: what layers share is the same for all."""
        if name not in self._made:
            self._made[name] = _rule(name)(self, name, torch.zeros(tuple(shape)))
        return self._made[name]

    def lengths(self, name: str) -> Tensor:
        """The lengths of a frozen linear's rows; ones where the linear is not given."""
        point = self._facts.modules[name.partition(".loras.")[0]]
        base = self._bases.get(point)
        weight = None if base is None else base.weight
        if not isinstance(weight, Tensor):
            return torch.ones(self._facts.shapes[point][0])
        lengths: Tensor = weight.detach().float().norm(dim=0 if isinstance(base, Conv1D) else 1)
        return lengths.cpu()


Rule = Callable[[FreshTensors, str, Tensor], Tensor]
"""Fills a tensor of zeros in place."""


def _zeros(_fresh: FreshTensors, _name: str, tensor: Tensor) -> Tensor:
    return tensor


def _ones(_fresh: FreshTensors, _name: str, tensor: Tensor) -> Tensor:
    return tensor.fill_(1.0)


def _normal(std: float) -> Rule:
    return lambda fresh, _name, tensor: tensor.normal_(0.0, std, generator=fresh.generator)


def _prompt(fresh: FreshTensors, _name: str, tensor: Tensor) -> Tensor:
    return tensor.uniform_(-_PROMPT_RANGE, _PROMPT_RANGE, generator=fresh.generator)


def _xavier(fresh: FreshTensors, _name: str, tensor: Tensor) -> Tensor:
    for matrix in tensor:
        nn.init.xavier_normal_(matrix, generator=fresh.generator)
    return tensor


def _kaiming(fresh: FreshTensors, _name: str, tensor: Tensor) -> Tensor:
    return nn.init.kaiming_uniform_(tensor, _KAIMING_SLOPE, generator=fresh.generator)


def _shared_rule(fresh: FreshTensors, name: str, tensor: Tensor) -> Tensor:
    is_shared = name.startswith("shared_parameters.")
    std = float(fresh.config.get("phm_init_range", 1e-4)) if is_shared else _RULE_STD
    return tensor.normal_(0.0, std, generator=fresh.generator)


def _diagonal(key: str) -> Rule:
    def fill(fresh: FreshTensors, _name: str, tensor: Tensor) -> Tensor:
        return tensor.fill_diagonal_(float(fresh.config.get(key) or 0.0))

    return fill


def _lengths(fresh: FreshTensors, name: str, tensor: Tensor) -> Tensor:
    return tensor.copy_(fresh.lengths(name).unsqueeze(1))


def _identity(_fresh: FreshTensors, _name: str, tensor: Tensor) -> Tensor:
    return tensor.fill_diagonal_(1.0)


def _orthogonal(fresh: FreshTensors, _name: str, tensor: Tensor) -> Tensor:
    return nn.init.orthogonal_(tensor, generator=fresh.generator)


def _factor(fresh: FreshTensors, name: str, tensor: Tensor) -> Tensor:
    """A factor of a low-rank product, by the configuration's own word."""
    if fresh.init == "ia3":
        return tensor.fill_(1.0)
    if fresh.init == "bert":
        return tensor.normal_(0.0, _BERT_STD, generator=fresh.generator)
    if fresh.init == "vera":
        return nn.init.kaiming_uniform_(tensor, generator=fresh.generator)
    return tensor if name.endswith("lora_B") else _kaiming(fresh, name, tensor)


def _matrix(fresh: FreshTensors, name: str, tensor: Tensor) -> Tensor:
    """Norms and factors are 1; a bottleneck's matrices follow the configuration."""
    if tensor.ndim == 1:
        return tensor.fill_(1.0)
    if fresh.init == "bert":
        return tensor.normal_(0.0, _BERT_STD, generator=fresh.generator)
    if fresh.init == "houlsby":
        limits = -2 * _HOULSBY_STD, 2 * _HOULSBY_STD
        return nn.init.trunc_normal_(tensor, 0.0, _HOULSBY_STD, *limits, generator=fresh.generator)
    return tensor if "adapter_up" in name else _kaiming(fresh, name, tensor)


_RULES: Mapping[str, Rule] = {
    ".prompt_embedding.weight": _prompt,
    ".wte.weight": _normal(1.0),
    ".control_trans": _normal(1.0),
    ".learned_source.weight": _kaiming,
    ".projection.weight": _kaiming,
    ".weight.original": _identity,
    ".weight.0.base": _orthogonal,
    ".m.weight": _lengths,
    ".vera_D": _diagonal("vera_d"),
    ".vera_B": _diagonal("vera_b"),
    ".lora_A": _factor,
    ".lora_B": _factor,
    ".task_specific.values": _ones,
    ".weights": _ones,
    ".phm_rule": _shared_rule,
    ".phm_rule_left": _shared_rule,
    ".phm_rule_right": _shared_rule,
    ".W": _xavier,
    "_left": _xavier,
    "_right": _xavier,
    ".b": _zeros,
    ".bias": _zeros,
    ".gate.weight": _normal(_BERT_STD),
}
"""By the end of a tensor's name; the first that fits."""


def _rule(name: str) -> Rule:
    # The gates of prefixes end with the adapter's name.
    if ".prefix_gates." in name and not name.endswith(".bias"):
        return _normal(_BERT_STD)
    return next((rule for end, rule in _RULES.items() if name.endswith(end)), _matrix)
