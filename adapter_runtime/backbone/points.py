"""The plug points: wrappers that ask the open Routing for work, and cost nothing without it."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from adapter_runtime.backbone.linears import FusedLinear, is_exact_gelu
from adapter_runtime.backbone.routing import ModuleWork, RouteScope, SublayerWork
from adapter_runtime.types import PlugPoint


class RoutedModule(nn.Module):
    """A linear or a LayerNorm whose output the Parts of the open Routing may change.

    Args:
        base: the frozen module; its parameters stay the same objects.
        point: where it sits.
        scope: the backbone's Routings.
    """

    def __init__(self, base: nn.Module, point: PlugPoint, scope: RouteScope) -> None:
        super().__init__()
        self.base = base
        self.point = point
        self.scope = scope

    @property
    def work(self) -> ModuleWork | None:
        """What the open Routing does here."""
        routing = self.scope.current
        return None if routing is None else cast(ModuleWork | None, routing.work.get(self.point))

    def forward(self, x: Tensor) -> Tensor:
        """The module's output with the Routing's work. Shape: `[..., in]` to `[..., out]`."""
        work = self.work
        if work is None:
            return cast(Tensor, self.base(x))
        y = work(self.base, x.reshape(-1, x.shape[-1]))
        return y.view(*x.shape[:-1], y.shape[-1])


class ActivatedLinear(nn.Module):
    """A plug point and the activation after it, in one product where no Part comes between.

    Args:
        linear: the plug point.
        activation: what the architecture applies to its output.
    """

    def __init__(self, linear: RoutedModule, activation: nn.Module) -> None:
        super().__init__()
        self.linear = linear
        self.activation = activation
        self._fused = linear.base if is_exact_gelu(activation) else None

    def forward(self, x: Tensor) -> Tensor:
        """The activated output. Shape: `[..., in]` to `[..., out]`."""
        if isinstance(self._fused, FusedLinear) and self.linear.work is None:
            return self._fused.gelu(x)
        return cast(Tensor, self.activation(self.linear(x)))


class RoutedSum(nn.Module):
    """The end of a sublayer, `norm(h + residual)`, where bottlenecks sit.

    Args:
        norm: the sublayer's LayerNorm, itself a module point.
        point: where the sublayer sits.
        scope: the backbone's Routings.
    """

    def __init__(self, norm: RoutedModule, point: PlugPoint, scope: RouteScope) -> None:
        super().__init__()
        self.norm = norm
        self.point = point
        self.scope = scope

    def forward(self, h: Tensor, residual: Tensor) -> Tensor:
        """The sublayer's output; may write into h. Shape: `[..., width]` each."""
        routing = self.scope.current
        work = None if routing is None else routing.work.get(self.point)
        if work is None:
            return cast(Tensor, self.norm(h.add_(residual)))
        width = h.shape[-1]
        # The work knows which norm Parts apply to which tokens, so it gets the bare norm.
        y = cast(SublayerWork, work)(
            h.reshape(-1, width), residual.reshape(-1, width), self.norm.base
        )
        return y.view(h.shape)
