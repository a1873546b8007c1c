"""The plug points: wrappers that ask the open Routing for work, and cost nothing without it."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn

from adapter_runtime.backbone.direct import Direct
from adapter_runtime.backbone.linears import PackedLinear, gelu_form
from adapter_runtime.backbone.routing import (
    AttentionWork,
    ModuleWork,
    RouteScope,
    SublayerWork,
    work_at,
)
from adapter_runtime.sites import PlugPoint


class Routed(Direct):
    """A frozen module at a plug point; what it does not know itself, the module answers.

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

    def __getattr__(self, name: str) -> Any:
        # Models ask their layers and tables for such things as the kind of attention.
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("base"), name)


class RoutedModule(Routed):
    """A linear or a LayerNorm whose output the Parts of the open Routing may change.

    Args:
        base: the frozen module; its parameters stay the same objects.
        point: where it sits.
        scope: the backbone's Routings.
    """

    @property
    def work(self) -> ModuleWork | None:
        """What the open Routing does here."""
        return cast(ModuleWork | None, work_at(self.scope, self.point))

    def forward(self, x: Tensor) -> Tensor:
        """The module's output with the Routing's work. Shape: `[..., in]` to `[..., out]`."""
        work = self.work
        if work is None:
            return cast(Tensor, self.base(x))
        # The same object where it can be: int8 knows states by it that it has quantised already.
        y = work(self.base, x if x.dim() == 2 else x.reshape(-1, x.shape[-1]))
        return y.view(*x.shape[:-1], y.shape[-1])


class RoutedEmbedding(Routed):
    """An embedding table whose vectors the Parts of the open Routing may change.

    Args:
        base: the frozen table.
        point: where it sits.
        scope: the backbone's Routings.
    """

    def forward(self, ids: Tensor) -> Tensor:
        """The vectors of token ids. Shape: `[...]` to `[..., width]`."""
        work = cast(ModuleWork | None, work_at(self.scope, self.point))
        if work is None:
            return cast(Tensor, self.base(ids))
        vectors = work(self.base, ids.reshape(-1))
        return vectors.view(*ids.shape, vectors.shape[-1])


IDENTITY = nn.Identity()
"""The module behind points where states are changed in passing."""


class RoutedStates(Routed):
    """A module whose output states the Parts of the open Routing may change in passing.

    Args:
        base: an embedding block or a layer; its output is a tensor, or a tuple that starts with it.
        point: where its output sits.
        scope: the backbone's Routings.
    """

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """The module's output with the Routing's work on its states."""
        output = self.base(*inputs, **options)
        work = cast(ModuleWork | None, work_at(self.scope, self.point))
        if work is None:
            return output
        states = output if isinstance(output, Tensor) else output[0]
        changed = work(IDENTITY, states.reshape(-1, states.shape[-1])).view(states.shape)
        return changed if isinstance(output, Tensor) else (changed, *output[1:])


class RoutedLayer(RoutedStates):
    """A layer; before it the stream may become another one.

    Args:
        base: takes the stream's states first.
        point: where its output sits.
        scope: the backbone's Routings.
    """

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """The layer's output with the Routing's work on its states."""
        routing = self.scope.current
        fork = None if routing is None else routing.fork
        if fork is not None and fork.layer == self.point.layer:
            inputs = (inputs[0].index_select(-2, fork.tokens), *inputs[1:])
            self.scope.go_on(fork.routing)
        return super().forward(*inputs, **options)


class RoutedAttention(Routed):
    """A module that calls the attention interface; tells it the rows and what stands before them.

    Args:
        base: takes the states that queries come from first, and hands options on.
        point: where its keys and values sit.
        scope: the backbone's Routings.
    """

    def forward(self, hidden_states: Tensor, *inputs: Any, **options: Any) -> Any:
        """The module's output. Shape of the states: `[..., tokens, width]`."""
        routing = self.scope.current
        options["routing"] = routing
        work = cast(AttentionWork | None, work_at(self.scope, self.point))
        if work is not None:
            options["prefixes"] = work(hidden_states.reshape(-1, hidden_states.shape[-1]))
        return self.base(hidden_states, *inputs, **options)


class ActivatedLinear(Direct):
    """A plug point and the activation after it, in one product where no Part comes between.

    Args:
        linear: the plug point.
        activation: what the architecture applies to its output.
    """

    def __init__(self, linear: RoutedModule, activation: nn.Module) -> None:
        super().__init__()
        self.linear = linear
        self.activation = activation
        self._form = gelu_form(activation)

    def forward(self, x: Tensor) -> Tensor:
        """The activated output. Shape: `[..., in]` to `[..., out]`."""
        base, form = self.linear.base, self._form
        if form is not None and isinstance(base, PackedLinear) and self.linear.work is None:
            return base.gelu(x, form)
        return cast(Tensor, self.activation(self.linear(x)))


class RoutedSum(Direct):
    """The end of a sublayer, `norm(h + residual)`, where bottlenecks sit.

    Args:
        norm: the sublayer's LayerNorm, itself a module point; None in pre-LN models, whose
            sublayers end in the bare sum.
        point: where the sublayer sits.
        scope: the backbone's Routings.
    """

    def __init__(self, norm: RoutedModule | None, point: PlugPoint, scope: RouteScope) -> None:
        super().__init__()
        self.norm = norm
        self.point = point
        self.scope = scope

    def forward(self, h: Tensor, residual: Tensor) -> Tensor:
        """The sublayer's output; may write into h. Shape: `[..., width]` each."""
        work = cast(SublayerWork | None, work_at(self.scope, self.point))
        if work is None:
            total = h.add_(residual)
            return total if self.norm is None else cast(Tensor, self.norm(total))
        width = h.shape[-1]
        # The work knows which norm Parts apply to which tokens, so it gets the bare norm.
        norm = IDENTITY if self.norm is None else self.norm.base
        return work(h.reshape(-1, width), residual.reshape(-1, width), norm).view(h.shape)


class OuterNorm(Direct):
    """The norm of a hooked sublayer: blocks may read it, the sum around it is the model's own.

    Args:
        norm: the LayerNorm that the `adapters` library finds there, or None.
    """

    def __init__(self, norm: nn.Module | None) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """The normed states, or x where there is no norm."""
        return x if self.norm is None else cast(Tensor, self.norm(x))


class RoutedHook(Direct):
    """The output of a sublayer's last projection, where bottlenecks of hooked models sit.

    Residual sum and norm remain the model's, so work gives a new `h` and nothing is closed.

    Args:
        norm: what blocks with `original_ln_before` read.
        point: where the sublayer sits.
        scope: the backbone's Routings.
    """

    def __init__(self, norm: OuterNorm, point: PlugPoint, scope: RouteScope) -> None:
        super().__init__()
        self.norm = norm
        self.point = point
        self.scope = scope

    def forward(self, h: Tensor, residual: Tensor) -> Tensor:
        """The new output; `residual` is what entered the sublayer. Shape: `[..., width]` each."""
        work = cast(SublayerWork | None, work_at(self.scope, self.point))
        if work is None:
            return h
        width = h.shape[-1]
        return work(h.reshape(-1, width), residual.reshape(-1, width), self.norm).view(h.shape)
