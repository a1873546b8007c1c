"""New adapters with the library's random start, near the identity."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.adapterhub import read_adapterhub
from adapter_runtime.checkpoint.named_configs import expand_config
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.ledger import Ledger
from adapter_runtime.methods.configuration import BadConfig
from adapter_runtime.types import Adapter, Note, Part

FORMAT_VERSION = "adapters.1.3.0"
"""The version of the format that is written; readers look at it to undo older versions' quirks."""

_BERT_STD, _HOULSBY_STD = 0.02, 0.01
_KAIMING_SLOPE = math.sqrt(5)


class _FreshTensors(Ledger):
    """A ledger that makes each tensor that is asked for, by the library's initialisation."""

    def __init__(self, init: str, generator: torch.Generator | None) -> None:
        super().__init__({})
        self._init = init
        self._generator = generator

    def __contains__(self, name: str) -> bool:
        return True

    def take(self, name: str, shape: Sequence[int]) -> Tensor:
        """A new tensor: biases 0, norms and factors 1, up-projections 0 or small."""
        kind = ".".join(name.split(".")[-2:])
        tensor = torch.zeros(tuple(shape))
        if kind.endswith(".bias"):
            return tensor
        if "gate" not in kind and (tensor.ndim == 1 or self._init == "ia3"):
            return tensor.fill_(1.0)
        return self._matrix(kind, tensor)

    def _matrix(self, kind: str, tensor: Tensor) -> Tensor:
        if self._init == "bert" or "gate" in kind:
            return tensor.normal_(0.0, _BERT_STD, generator=self._generator)
        if self._init == "houlsby":
            limit = 2 * _HOULSBY_STD
            args = (0.0, _HOULSBY_STD, -limit, limit)
            return torch.nn.init.trunc_normal_(tensor, *args, generator=self._generator)
        if kind.endswith("lora_B") or "adapter_up" in kind:
            return tensor
        return torch.nn.init.kaiming_uniform_(tensor, _KAIMING_SLOPE, generator=self._generator)


def new_adapter(
    name: str,
    config: str | Mapping[str, Any],
    facts: BackboneFacts,
    generator: torch.Generator | None = None,
) -> Adapter:
    """A freshly initialised adapter.

    Args:
        name: the adapter's name.
        config: a name such as `pfeiffer` or `lora[r=4]`, or a mapping as in `adapter_config.json`.
        facts: the backbone.
        generator: where the random numbers come from.

    Raises:
        RejectedAdapter: the configuration is unknown, wrong or not supported.
    """
    try:
        expanded = expand_config(config)
        children = [expand_config(child) for child in expanded.get("configs", [expanded])]
        parts = [part for child in children for part in _new_parts(name, child, facts, generator)]
    except BadConfig as error:
        raise RejectedAdapter(name, [Note(error.code, str(error))]) from error
    full = {"config": expanded, "name": name, "version": FORMAT_VERSION}
    total = hashlib.sha256(json.dumps(full, sort_keys=True, default=str).encode())
    for part in parts:
        for tensor in part.tensors.values():
            total.update(tensor.numpy().tobytes())
    return Adapter(name, total.hexdigest(), tuple(parts), config=full, library=FORMAT_VERSION)


def _new_parts(
    name: str,
    config: Mapping[str, Any],
    facts: BackboneFacts,
    generator: torch.Generator | None,
) -> tuple[Part, ...]:
    if config.get("inv_adapter"):
        raise BadConfig("Invertible adapters are not supported.", "unsupported_method")
    start = config.get("init_weights", "lora" if config.get("architecture") else "bert")
    ledger = _FreshTensors(str(start), generator)
    full = {"config": config, "name": name, "version": FORMAT_VERSION}
    reading = read_adapterhub(full, ledger, facts)
    if problems := ledger.problems():
        raise RejectedAdapter(name, problems)
    return reading.parts
