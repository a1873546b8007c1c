"""Random adapters of every kind for tiny backbones, made without checkpoints."""

from __future__ import annotations

import torch
from torch import Tensor

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.methods.bias import BiasSettings
from adapter_runtime.methods.bottleneck import BottleneckSettings
from adapter_runtime.methods.ia3 import Ia3Settings
from adapter_runtime.methods.ia3_input import Ia3InputSettings
from adapter_runtime.methods.lora import LoraSettings
from adapter_runtime.types import Adapter, Part, PlugPoint, Site


class Maker:
    """Makes adapters with random weights for one backbone; one seed, one sequence."""

    def __init__(self, facts: BackboneFacts, seed: int = 0) -> None:
        self.facts = facts
        self.generator = torch.Generator().manual_seed(seed)

    def tensor(self, *shape: int) -> Tensor:
        return 0.3 * torch.randn(shape, generator=self.generator)

    def points(self, *sites: Site) -> list[PlugPoint]:
        every = {*self.facts.shapes, *self.facts.adapter_paths}
        return sorted(point for point in every if point.site in sites)

    def lora(self, name: str, *sites: Site, rank: int = 4, gated: bool = False) -> Adapter:
        settings = LoraSettings(scale=2.0, use_gating=gated)
        parts = []
        for point in self.points(*sites):
            out, width = self.facts.shapes[point]
            tensors = {"down": self.tensor(rank, width), "up": self.tensor(out, rank)}
            if gated:
                tensors |= {"gate_weight": self.tensor(1, width), "gate_bias": self.tensor(1)}
            parts.append(Part("lora", point, settings, tensors))
        return Adapter(name, name, tuple(parts))

    def bottleneck(self, name: str, *sites: Site, width: int = 8, **flags: object) -> Adapter:
        settings = BottleneckSettings("relu", **flags)
        hidden = self.facts.hidden_size
        parts = []
        for point in self.points(*sites):
            tensors = {
                "down_weight": self.tensor(width, hidden),
                "down_bias": self.tensor(width),
                "up_weight": self.tensor(hidden, width),
                "up_bias": self.tensor(hidden),
            }
            if settings.use_gating:
                tensors |= {"gate_weight": self.tensor(1, hidden), "gate_bias": self.tensor(1)}
            parts.append(Part("bottleneck", point, settings, tensors))
        return Adapter(name, name, tuple(parts))

    def bias(self, name: str, *sites: Site) -> Adapter:
        parts = [
            Part("bias", point, BiasSettings(), {"bias": self.tensor(self.facts.shapes[point][0])})
            for point in self.points(*sites)
        ]
        return Adapter(name, name, tuple(parts))

    def output_scale(self, name: str, *sites: Site, gated: bool = False) -> Adapter:
        settings = Ia3Settings(use_gating=gated)
        parts = []
        for point in self.points(*sites):
            out, width = self.facts.shapes[point]
            tensors = {"scale": 1 + self.tensor(out)}
            if gated:
                tensors |= {"gate_weight": self.tensor(1, width), "gate_bias": self.tensor(1)}
            parts.append(Part("ia3", point, settings, tensors))
        return Adapter(name, name, tuple(parts))

    def input_scale(self, name: str, *sites: Site) -> Adapter:
        parts = []
        for point in self.points(*sites):
            scale = 1 + self.tensor(self.facts.shapes[point][1])
            parts.append(Part("ia3_input", point, Ia3InputSettings(), {"scale": scale}))
        return Adapter(name, name, tuple(parts))


def union(name: str, *members: Adapter) -> Adapter:
    """One adapter with the Parts of all."""
    return Adapter(name, name, tuple(part for member in members for part in member.parts))
