"""A CUDA device that only says where tensors would be, for machines that have none.

Its tensors have shapes, dtypes and devices but no numbers. What mixes devices raises, as it would
on a real one; so does whatever asks the device for a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedModel

from adapter_runtime.backbone import attention_cuda, placed
from adapter_runtime.backbone.backbone import Backbone
from adapter_runtime.backbone.routing import Groups
from adapter_runtime.engine import open as opening
from adapter_runtime.engine.engine import LocalEngine
from adapter_runtime.methods import products
from adapter_runtime.types import RunResult

DEVICE = torch.device("meta")
"""Not `cuda`, whose tensors cannot be indexed where torch was built without it."""


class Crossings(TorchDispatchMode):
    """Writes down the copies between host and device that the host would wait for.

    Args:
        waits: where to.
        is_recorded: copies that nobody waits for count too; a recording would repeat them.
    """

    def __init__(self, waits: list[str], *, is_recorded: bool = False) -> None:
        super().__init__()
        self.waits = waits
        self.is_recorded = is_recorded

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._to_copy.default and kwargs.get("device") is not None:
            self._note(args[0], kwargs["device"], kwargs.get("non_blocking", False))
        if func is torch.ops.aten.copy_.default:
            self._note(args[1], args[0].device, kwargs.get("non_blocking", len(args) > 2))
        return func(*args, **kwargs)

    def _note(self, source: Tensor, target: torch.device, is_beside: bool) -> None:
        if source.device.type != target.type and (self.is_recorded or not is_beside):
            self.waits.append(f"{source.device.type} to {target.type}, {tuple(source.shape)}")


class Pretended:
    """The device in place of the machine's, until the test ends.

    Args:
        monkeypatch: puts everything back.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        self.mode.allow_meta = True
        self.waits: list[str] = []
        forward, run = Backbone.forward, LocalEngine.run

        def watched(*args: Any) -> Tensor:
            with Crossings(self.waits):
                return forward(*args)

        def run_there(*args: Any) -> RunResult:
            with self.mode:
                return run(*args)

        monkeypatch.setattr(Backbone, "forward", watched)
        monkeypatch.setattr(LocalEngine, "run", run_there)
        monkeypatch.setattr(PreTrainedModel, "to", lambda model, device: self._moved(model))
        monkeypatch.setattr(Tensor, "numpy", lambda self: np.zeros(tuple(self.shape), np.float32))
        monkeypatch.setattr(opening, "pick_device", lambda name: DEVICE)
        # What asks for the device's kind.
        monkeypatch.setattr(placed, "to_device", _to_device)
        monkeypatch.setattr(attention_cuda, "has_flash", lambda device: True)
        monkeypatch.setattr(products, "_is_grouped", _is_grouped)

    def _moved(self, model: nn.Module) -> nn.Module:
        known: dict[int, Tensor] = {}
        for module in model.modules():
            for values in (module._parameters, module._buffers):
                for name, value in values.items():
                    if value is not None:
                        values[name] = known.setdefault(id(value), self._like(value))
        return model

    def _like(self, value: Tensor) -> Tensor:
        with self.mode:
            like = torch.empty_strided(
                value.shape, value.stride(), dtype=value.dtype, device=DEVICE
            )
        is_weight = isinstance(value, nn.Parameter)
        return nn.Parameter(like, requires_grad=False) if is_weight else like


def _to_device(values: Tensor, device: torch.device | None) -> Tensor:
    return values.to(device, non_blocking=True)


def _is_grouped(stacked: Tensor, groups: Groups, x: Tensor) -> bool:
    return x.dtype == torch.bfloat16 and all(size % 8 == 0 for size in stacked.shape[1:])
