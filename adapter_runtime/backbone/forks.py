"""A stream that becomes another one between two layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from adapter_runtime.backbone.routing import Routing


@dataclass(frozen=True, slots=True)
class Fork:
    """Where rows join a stream that have been the same as others of it so far.

    Args:
        layer: before which.
        tokens: of each token of the new stream, which token of the old one it was, on the device.
        routing: of the new stream.
    """

    layer: int
    tokens: Tensor
    routing: Routing
