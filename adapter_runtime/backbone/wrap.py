"""Facts from the real modules of a bare model, then its plug points in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

from torch import Tensor, nn
from transformers import PreTrainedModel

from adapter_runtime.backbone.blocks import Close
from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.backbone.linears import Packing, fuse, is_linear, weight_shape
from adapter_runtime.backbone.points import (
    IDENTITY,
    RoutedAttention,
    RoutedEmbedding,
    RoutedLayer,
    RoutedModule,
    RoutedStates,
)
from adapter_runtime.backbone.routing import RouteScope
from adapter_runtime.backbone.rows import Architecture, Layers
from adapter_runtime.sites import EMBEDDING_SITES, MODEL_LEVEL, PlugPoint, Site

EMBEDDINGS = PlugPoint(MODEL_LEVEL, Site.EMBEDDINGS)
WORD_EMBEDDINGS = PlugPoint(MODEL_LEVEL, Site.WORD_EMBEDDINGS)
VOCABULARY = PlugPoint(MODEL_LEVEL, Site.VOCABULARY)


def read_facts(
    model: PreTrainedModel, architecture: Architecture, model_name: str, has_pooler: bool
) -> BackboneFacts:
    """Names and shapes of a bare Hugging Face model that is not wrapped yet."""
    config: Any = model.config
    modules = dict(_module_points(model, architecture))
    named: dict[PlugPoint, Any] = {
        point: model.get_submodule(path) for path, point in modules.items()
    }
    layers = list(_layers(architecture, config))
    return BackboneFacts(
        model_type=config.model_type,
        model_name=model_name,
        prefix=architecture.prefix,
        hidden_size=config.hidden_size,
        embedding_size=getattr(config, "embedding_size", None) or config.hidden_size,
        num_layers=len(layers),
        vocab_size=config.vocab_size,
        modules=modules,
        shapes={point: weight_shape(module) for point, module in named.items()},
        biased=frozenset(
            point for point, module in named.items() if getattr(module, "bias", None) is not None
        ),
        adapter_paths={
            PlugPoint(layer, site): f"{root}.{path}"
            for layer, root, rows in layers
            for site, path in rows.adapter_paths.items()
        },
        attention_paths={
            PlugPoint(layer, site): _join(root, path)
            for layer, root, rows in layers
            for site, path in rows.attentions.items()
        },
        layer_paths=tuple(root for _, root, _ in layers),
        linears={
            path: weight_shape(module)
            for path, module in model.named_modules()
            if is_linear(module)
        },
        biases={
            name: tuple(value.shape) for name, value in model.named_parameters() if "bias" in name
        },
        has_pooler=has_pooler,
        summary=architecture.summary,
        is_hooked=architecture.is_hooked,
        config=config.to_dict(),
        word_embeddings=_word_embeddings(model),
        has_embedding_output=architecture.embeddings is not None,
        other_prefixes=architecture.other_prefixes,
        lora_sites=architecture.lora_sites,
    )


def _layers(architecture: Architecture, config: Any) -> Iterator[tuple[int, str, Layers]]:
    number = 0
    for rows in architecture.layers:
        for path in rows.paths(config):
            yield number, path, rows
            number += 1


def _word_embeddings(model: PreTrainedModel) -> Callable[[], Tensor]:
    weight = cast(nn.Embedding, model.get_input_embeddings()).weight
    return lambda: weight


def _join(root: str, path: str) -> str:
    return f"{root}.{path}" if path else root


def _module_points(
    model: PreTrainedModel, architecture: Architecture
) -> Iterator[tuple[str, PlugPoint]]:
    present = {name for name, _ in model.named_modules()}
    for site, path in architecture.outside.items():
        if path in present:
            yield path, PlugPoint(MODEL_LEVEL, site)
    for layer, root, rows in _layers(architecture, model.config):
        for site, relative in rows.modules.items():
            if (path := _join(root, relative)) in present:
                yield path, PlugPoint(layer, site)


def wrap(
    model: PreTrainedModel,
    architecture: Architecture,
    facts: BackboneFacts,
    scope: RouteScope,
    pack: Packing = fuse,
) -> dict[PlugPoint, nn.Module]:
    """Put the plug points into a bare model, in place.

    Args:
        model: the bare model.
        architecture: the row that describes it.
        facts: its names and shapes.
        scope: its Routings.
        pack: how the linears of its layers compute; those outside them keep their dtype.

    Returns:
        The frozen module behind each module point, for the methods' tables.
    """
    bases: dict[PlugPoint, nn.Module] = {VOCABULARY: IDENTITY}
    for path, point in facts.modules.items():
        bases[point] = (fuse if point.layer == MODEL_LEVEL else pack)(model.get_submodule(path))
        routed = RoutedEmbedding if point.site in EMBEDDING_SITES else RoutedModule
        model.set_submodule(path, routed(bases[point], point, scope))
    for layer, root, rows in _layers(architecture, model.config):
        _wrap_layer(model, layer, root, rows, scope)
        bases[PlugPoint(layer, Site.LAYER)] = IDENTITY
    if architecture.embeddings is not None:
        block = model.get_submodule(architecture.embeddings)
        model.set_submodule(architecture.embeddings, RoutedStates(block, EMBEDDINGS, scope))
        bases[EMBEDDINGS] = IDENTITY
    return bases


def _wrap_layer(
    model: PreTrainedModel, layer: int, root: str, rows: Layers, scope: RouteScope
) -> None:
    for site, relative in rows.attentions.items():
        path = _join(root, relative)
        point = PlugPoint(layer, site)
        model.set_submodule(path, RoutedAttention(model.get_submodule(path), point, scope))
    for relative, make_block in rows.blocks.items():
        path = _join(root, relative)
        block = make_block(model.get_submodule(path), Close(layer, scope, model))
        model.set_submodule(path, block)
    routed = RoutedLayer(model.get_submodule(root), PlugPoint(layer, Site.LAYER), scope)
    model.set_submodule(root, routed)
