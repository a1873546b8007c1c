"""ModernBERT's sublayers, which the `adapters` library hooks behind their last projections."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from adapter_runtime.backbone.blocks import Close
from adapter_runtime.backbone.points import RoutedHook
from adapter_runtime.backbone.routing import RouteScope
from adapter_runtime.sites import Site


class HookedAttention(nn.Module):
    """An attention module that reads the rows, and a point on its output.

    Args:
        base: the Hugging Face module; takes normed states and ends in its output projection.
        close: the point.
        scope: the backbone's Routings.
    """

    def __init__(self, base: nn.Module, close: RoutedHook, scope: RouteScope) -> None:
        super().__init__()
        self.base = base
        self.close = close
        self.scope = scope

    def forward(self, hidden_states: Tensor, **options: Any) -> tuple[Tensor, None]:
        """The attention's output. Shape: `[..., tokens, width]` to the same."""
        attended, _ = self.base(hidden_states, routing=self.scope.current, **options)
        return self.close(attended, hidden_states), None


class HookedFeedForward(nn.Module):
    """A feed-forward module and a point on its output."""

    def __init__(self, base: nn.Module, close: RoutedHook) -> None:
        super().__init__()
        self.base = base
        self.close = close

    def forward(self, hidden_states: Tensor) -> Tensor:
        """The sublayer's output. Shape: `[..., tokens, width]` to the same."""
        hooked: Tensor = self.close(self.base(hidden_states), hidden_states)
        return hooked


def modernbert_attention(module: Any, close: Close) -> nn.Module:
    """A routed ModernBERT attention.

    The `adapters` library finds the norm through a loop variable, after its loop: in every layer
    it is the last layer's.
    """
    norm = close.model.layers[-1].mlp_norm.base
    return HookedAttention(module, close.hook(Site.ATTENTION, norm), close.scope)


def modernbert_feed_forward(module: Any, close: Close) -> nn.Module:
    """A routed ModernBERT feed-forward sublayer; the library knows no norm there."""
    return HookedFeedForward(module, close.hook(Site.FFN))
