"""New adapters with the library's random start, near the identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.hub.adapterhub import read_adapterhub
from adapter_runtime.checkpoint.hub.fresh_tensors import FreshTensors
from adapter_runtime.checkpoint.hub.named_configs import expand_config
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.methods.configuration import BadConfig
from adapter_runtime.types import Adapter, Note, Part, PlugPoint

FORMAT_VERSION = "adapters.1.3.0"
"""The version of the format that is written; readers look at it to undo older versions' quirks."""


def new_adapter(
    name: str,
    config: str | Mapping[str, Any],
    facts: BackboneFacts,
    generator: torch.Generator | None = None,
    bases: Mapping[PlugPoint, nn.Module] | None = None,
) -> Adapter:
    """A freshly initialised adapter.

    Args:
        name: the adapter's name.
        config: a name such as `pfeiffer` or `lora[r=4]`, or a mapping as in `adapter_config.json`.
        facts: the backbone.
        generator: where the random numbers come from.
        bases: the frozen module behind each module point; DoRA starts from their lengths.

    Raises:
        RejectedAdapter: the configuration is unknown, wrong or not supported.
    """
    try:
        expanded = expand_config(config)
        children = [expand_config(child) for child in expanded.get("configs", [expanded])]
        ledgers = [FreshTensors(child, facts, bases or {}, generator) for child in children]
        parts = [
            part
            for child, ledger in zip(children, ledgers, strict=True)
            for part in _new_parts(name, child, facts, ledger)
        ]
    except BadConfig as error:
        raise RejectedAdapter(name, [Note(error.code, str(error))]) from error
    full = {"config": expanded, "name": name, "version": FORMAT_VERSION}
    total = hashlib.sha256(json.dumps(full, sort_keys=True, default=str).encode())
    for part in parts:
        for tensor in part.tensors.values():
            total.update(tensor.numpy().tobytes())
    return Adapter(name, total.hexdigest(), tuple(parts), config=full, library=FORMAT_VERSION)


def _new_parts(
    name: str, config: Mapping[str, Any], facts: BackboneFacts, ledger: FreshTensors
) -> tuple[Part, ...]:
    full = {"config": config, "name": name, "version": FORMAT_VERSION}
    reading = read_adapterhub(full, ledger, facts)
    if problems := ledger.problems():
        raise RejectedAdapter(name, problems)
    return reading.parts
