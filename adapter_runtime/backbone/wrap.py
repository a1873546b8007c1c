"""Facts from the real modules of a bare model, then its plug points in their place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from adapter_runtime.backbone.architectures import Architecture
from adapter_runtime.backbone.blocks import Close
from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.backbone.linears import fuse
from adapter_runtime.backbone.points import RoutedModule, RoutedSum
from adapter_runtime.backbone.routing import RouteScope
from adapter_runtime.types import MODEL_LEVEL, PlugPoint, Site


def read_facts(
    model: PreTrainedModel, architecture: Architecture, model_name: str, has_pooler: bool
) -> BackboneFacts:
    """Names and shapes of a bare Hugging Face model that is not wrapped yet."""
    config: Any = model.config
    modules = dict(_module_points(model, architecture))
    named: dict[PlugPoint, Any] = {
        point: model.get_submodule(path) for path, point in modules.items()
    }
    return BackboneFacts(
        model_type=config.model_type,
        model_name=model_name,
        prefix=architecture.prefix,
        hidden_size=config.hidden_size,
        embedding_size=getattr(config, "embedding_size", config.hidden_size),
        num_layers=config.num_hidden_layers,
        vocab_size=config.vocab_size,
        modules=modules,
        shapes={point: tuple(module.weight.shape) for point, module in named.items()},
        biased=frozenset(point for point, module in named.items() if module.bias is not None),
        adapter_paths={
            PlugPoint(layer, site): path.format(layer)
            for site, path in architecture.adapter_paths.items()
            for layer in range(config.num_hidden_layers)
        },
        linears={
            path: (module.out_features, module.in_features)
            for path, module in model.named_modules()
            if isinstance(module, nn.Linear)
        },
        biases={
            name: tuple(value.shape) for name, value in model.named_parameters() if "bias" in name
        },
        has_pooler=has_pooler,
    )


def _module_points(
    model: PreTrainedModel, architecture: Architecture
) -> Iterator[tuple[str, PlugPoint]]:
    num_layers: int = model.config.num_hidden_layers
    present = {name for name, _ in model.named_modules()}
    for site, template in architecture.modules.items():
        layers = range(num_layers) if "{}" in template else (MODEL_LEVEL,)
        for layer in layers:
            path = template.format(layer)
            if path in present:
                yield path, PlugPoint(layer, site)


def wrap(
    model: PreTrainedModel, architecture: Architecture, facts: BackboneFacts, scope: RouteScope
) -> dict[PlugPoint, nn.Module]:
    """Put the plug points into a bare model, in place.

    Returns:
        The frozen module behind each module point, for the methods' tables.
    """
    bases: dict[PlugPoint, nn.Module] = {}
    for path, point in facts.modules.items():
        bases[point] = fuse(model.get_submodule(path))
        model.set_submodule(path, RoutedModule(bases[point], point, scope))
    for template, make_block in architecture.blocks.items():
        for layer in range(facts.num_layers):
            path = template.format(layer)
            block = make_block(model.get_submodule(path), _closing(layer, scope))
            model.set_submodule(path, block)
    return bases


def _closing(layer: int, scope: RouteScope) -> Close:
    def close(site: Site, norm: nn.Module) -> RoutedSum:
        assert isinstance(norm, RoutedModule), "A sublayer's norm is a plug point. This is a bug."
        return RoutedSum(norm, PlugPoint(layer, site), scope)

    return close
