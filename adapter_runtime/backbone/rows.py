"""What an architecture row says: where its plug points are and how its rows must lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn
from transformers import PreTrainedModel

from adapter_runtime.backbone.blocks import MakeBlock
from adapter_runtime.backbone.routing import Layout
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.sites import Site

Summary = Literal["first", "last", "eos"]
"""Which token of a row stands for the whole text."""

IS_PROMPTED = "is_prompted"
"""The input that says of each token whether its row has virtual tokens. Shape of the ids."""

Pooler = Callable[[Any], nn.Module | None]
"""Finds a bare model's pooler; None where it has none."""

Call = Callable[[PreTrainedModel, Mapping[str, Any], RowSpans], Tensor]
"""Runs a Hugging Face model on prepared inputs and gives its final states `[..., width]`."""


def numbered(template: str) -> Callable[[Any], Sequence[str]]:
    """The paths of `config.num_hidden_layers` layers; `{}` stands for the number."""
    return lambda config: [template.format(layer) for layer in range(config.num_hidden_layers)]


@dataclass(frozen=True)
class Layers:
    """One stack of equal layers; all paths are relative to a layer, `""` is the layer itself.

    Args:
        paths: the path of each layer in the bare model, from the model's config.
        modules: path of each module point; a path that a layer lacks is skipped.
        blocks: path of each module that wraps around plug points, and its routed replacement.
        adapter_paths: where the `adapters` library hangs `.adapters.NAME` at sublayer points.
        attentions: path of each module that calls the attention interface.
    """

    paths: Callable[[Any], Sequence[str]]
    modules: Mapping[Site, str]
    blocks: Mapping[str, MakeBlock]
    adapter_paths: Mapping[Site, str]
    attentions: Mapping[Site, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Positions:
    """How rows' position numbers reach the model.

    Args:
        table: path of the embedding table of positions, which bounds a row's length; None bounds
            it by `config.max_position_embeddings`.
        offset: rows of the table before the first position.
        after_pad: positions count from `padding_idx + 1` and skip padding tokens.
        are_passed: the model takes `position_ids`.
    """

    table: str | None = "embeddings.position_embeddings"
    offset: int = 0
    after_pad: bool = False
    are_passed: bool = True


LORA_SITES: Mapping[str, Site] = {
    "intermediate_lora": Site.FFN_IN,
    "output_lora": Site.FFN_OUT,
}
"""Where the `adapters` library puts LoRA outside attention, in most families."""


def own_pooler(model: Any) -> nn.Module | None:
    """The module that the model itself calls its pooler."""
    found: nn.Module | None = getattr(model, "pooler", None)
    return found


def call_model(model: PreTrainedModel, inputs: Mapping[str, Any], _spans: RowSpans) -> Tensor:
    """The final states of a model that takes the inputs as they are."""
    states: Tensor = model(**inputs)[0]
    return states


@dataclass(frozen=True)
class Architecture:
    """How one family of backbones is wrapped.

    Args:
        model_types: values of `config.model_type`.
        prefix: the base model's attribute in task models.
        layers: its stacks of layers, encoder before decoder; layers are numbered through.
        outside: path of each module point outside the layers; one that a model lacks is skipped.
        embeddings: path of the module whose output is the embedding block's, or None.
        layout: packed when attention goes through `AttentionInterface`, else padded.
        has_types: the model takes token type ids.
        positions: how position numbers reach it.
        summary: which token stands for the text in classification.
        is_hooked: the `adapters` library hooks it from outside (its "interface" models).
        call: runs the Hugging Face model.
        pooler: finds the pooler in a wrapped model.
        prepare: makes modules of what adapters may change but is none; before all else.
        can_fork: its layers, called one after another, take nothing as long as the stream but their
            states, first of all.
        marks_prompted: `call` gets `IS_PROMPTED`, where rows have virtual tokens.
        other_prefixes: attributes of the base model in task models that name it otherwise.
        lora_sites: where the `adapters` library puts what a LoRA configuration calls so.
    """

    model_types: tuple[str, ...]
    prefix: str
    layers: tuple[Layers, ...]
    outside: Mapping[Site, str]
    embeddings: str | None = "embeddings"
    layout: Layout = Layout.PACKED
    has_types: bool = True
    positions: Positions = Positions()
    summary: Summary = "first"
    is_hooked: bool = False
    call: Call = call_model
    pooler: Pooler = own_pooler
    prepare: Callable[[Any], None] | None = None
    marks_prompted: bool = False
    can_fork: bool = False
    other_prefixes: tuple[str, ...] = ()
    lora_sites: Mapping[str, Site] = field(default_factory=lambda: LORA_SITES)
