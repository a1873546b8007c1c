"""One sublayer of random blocks: for the runtime's two paths and for the plain equations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.engine.fast import FastRouter
from adapter_runtime.engine.reference import ReferenceRouter
from adapter_runtime.methods.bottleneck import BottleneckSettings
from adapter_runtime.methods.fusion import FusionSettings
from adapter_runtime.methods.table import METHODS
from adapter_runtime.residency.slots import SlotPool
from adapter_runtime.types import Adapter, Composition, Part, PlugPoint, Site
from tests.composition.plain import Block, FusionBlock, PlainLayer
from tests.goldens.filling import draw

WIDTH = 16
LENGTHS = (3, 1, 5)
POINT = PlugPoint(0, Site.FFN)
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Bench:
    """Blocks and fusion layers by name, in the forms of both sides.

    Args:
        adapters: everything, absent blocks without Parts.
        plain: the library's equations.
        norm: the sublayer's LayerNorm.
    """

    adapters: Mapping[str, Adapter]
    plain: PlainLayer
    norm: nn.Module

    def states(self) -> tuple[Tensor, Tensor]:
        """The sublayer's output and its residual. Shape: `[tokens, width]` each."""
        return draw("h", (sum(LENGTHS), WIDTH), 1.0), draw("residual", (sum(LENGTHS), WIDTH), 1.0)

    def expected(self, trees: Sequence[Composition]) -> Tensor:
        """Every row alone by the plain equations."""
        h, residual = (each.split(LENGTHS) for each in self.states())
        rows = zip(trees, h, residual, strict=True)
        return torch.cat([self.plain.forward(*row) for row in rows])

    def found(self, trees: Sequence[Composition], *, is_fast: bool) -> Tensor:
        """All rows at once by one of the runtime's paths."""
        spans = RowSpans([sum(LENGTHS[:row]) for row in range(len(LENGTHS))], LENGTHS, sum(LENGTHS))
        router = self._fast() if is_fast else ReferenceRouter(self.adapters.__getitem__, METHODS)
        work: Any = router.route(trees, spans).get(POINT)
        h, residual = self.states()
        if work is None:
            return self.norm(h + residual)  # type: ignore[no-any-return]
        return work(h, residual, self.norm)  # type: ignore[no-any-return]

    def _fast(self) -> FastRouter:
        pool = SlotPool(METHODS, {}, CPU, torch.float32)
        for adapter in self.adapters.values():
            pool.acquire(adapter)
        return FastRouter(pool)


def make_bench(
    blocks: Mapping[str, Mapping[str, Any] | None], fusions: Mapping[str, Mapping[str, Any]]
) -> Bench:
    """A bench.

    Args:
        blocks: flags by name; None for an adapter without a module here.
        fusions: flags of `AdapterFusionConfig` by name.
    """
    norm = nn.LayerNorm(WIDTH)
    with torch.no_grad():
        norm.weight.copy_(draw("norm weight", (WIDTH,), 0.1, 1.0))
        norm.bias.copy_(draw("norm bias", (WIDTH,), 0.1))
    parts = {name: flags and _block(name, flags) for name, flags in blocks.items()}
    parts |= {name: _fusion(name, flags) for name, flags in fusions.items()}
    adapters = {
        name: Adapter(name, name, (part,) if part else (), config={"name": name})
        for name, part in parts.items()
    }
    plain_blocks = {
        name: Block(flags, parts[name].tensors) for name, flags in blocks.items() if flags
    }
    plain_fusions = {
        name: FusionBlock(flags, parts[name].tensors) for name, flags in fusions.items()
    }
    return Bench(
        adapters, PlainLayer(plain_blocks, plain_fusions, norm), norm.requires_grad_(False)
    )


def _block(name: str, flags: Mapping[str, Any]) -> Part:
    narrow = 3 + len(name)
    shapes: dict[str, tuple[int, ...]] = {
        "down_weight": (narrow, WIDTH),
        "down_bias": (narrow,),
        "up_weight": (WIDTH, narrow),
        "up_bias": (WIDTH,),
    }
    if flags["use_gating"]:
        shapes |= {"gate_weight": (1, WIDTH), "gate_bias": (1,)}
    for place in ("before", "after"):
        if flags[f"ln_{place}"]:
            shapes |= {f"norm_{place}_weight": (WIDTH,), f"norm_{place}_bias": (WIDTH,)}
    tensors = {key: draw(f"{name} {key}", shape, 0.3) for key, shape in shapes.items()}
    return Part("bottleneck", POINT, BottleneckSettings("relu", **flags), tensors)


def _fusion(name: str, flags: Mapping[str, Any]) -> Part:
    settings = FusionSettings(
        has_query=flags["query"],
        has_key=flags["key"],
        has_value=flags["value"],
        query_before_ln=flags["query_before_ln"],
        residual_before=flags["residual_before"],
        temperature=50.0 if flags["temperature"] else 1.0,
    )
    shapes = {f"{key}_weight": (WIDTH, WIDTH) for key in settings.projections}
    shapes |= {f"{key}_bias": (WIDTH,) for key in settings.projections if key != "value"}
    tensors = {key: draw(f"{name} {key}", shape, 0.2) for key, shape in shapes.items()}
    return Part("fusion", POINT, settings, tensors)


PFEIFFER = {
    "is_parallel": False,
    "original_ln_before": True,
    "original_ln_after": True,
    "residual_before_ln": True,
    "ln_before": False,
    "ln_after": False,
    "adapter_residual_before_ln": False,
    "use_gating": False,
    "scaling": 1.0,
}
DYNAMIC = {
    "query": True,
    "key": True,
    "value": True,
    "query_before_ln": False,
    "residual_before": False,
    "temperature": False,
    "value_before_softmax": True,
}
