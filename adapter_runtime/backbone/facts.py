"""What checkpoints are read against: names, shapes and paths of a backbone, without its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from adapter_runtime.sites import PlugPoint, Site

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class BackboneFacts:
    """Names and shapes of one backbone; paths are those of the bare Hugging Face base model.

    Args:
        model_type: `config.model_type`, such as `bert`.
        model_name: the Source's or config's name; informative.
        prefix: the base model's attribute in task models, such as `bert` or `distilbert`.
        hidden_size, embedding_size, num_layers, vocab_size: from the config.
        modules: path of each wrapped leaf module (linears, LayerNorms) to its point, such as
            `encoder.layer.0.attention.self.query`.
        shapes: weight shape of each wrapped leaf module: `(out, in)` or `(width,)`.
        biased: points whose module has a bias.
        adapter_paths: for sublayer points, the path under which the `adapters` library hangs
            `.adapters.NAME`, such as `encoder.layer.0.attention.output`.
        attention_paths: for points where keys and values are extended, the path of the attention
            module; empty where the architecture cannot.
        layer_paths: path of each layer, in the order of their numbers.
        linears: paths of every linear in the base model, wrapped or not, to `(out, in)`.
        biases: paths of every parameter whose name contains `bias`, to its shape.
        has_pooler: the base checkpoint brought trained pooler weights.
        summary: which token stands for the text: `first`, `last` or `eos`.
        is_hooked: the `adapters` library hooks the model from outside.
        config: the model's configuration.
        word_embeddings: gives the frozen matrix of word embeddings, `[vocabulary, embedding]`.
        stored: gives the folder's tensors under some first path segments, which the bare model
            has no use for, such as those of a task class's head.
        has_embedding_output: there is a point behind the embedding block.
        other_prefixes: what task models may call the base model instead of `prefix`.
        lora_sites: the site of each LoRA switch outside attention, such as `intermediate_lora`.
    """

    model_type: str
    model_name: str
    prefix: str
    hidden_size: int
    embedding_size: int
    num_layers: int
    vocab_size: int
    modules: Mapping[str, PlugPoint]
    shapes: Mapping[PlugPoint, tuple[int, ...]]
    biased: frozenset[PlugPoint]
    adapter_paths: Mapping[PlugPoint, str]
    linears: Mapping[str, tuple[int, ...]]
    biases: Mapping[str, tuple[int, ...]]
    has_pooler: bool
    attention_paths: Mapping[PlugPoint, str] = field(default_factory=dict)
    layer_paths: tuple[str, ...] = ()
    summary: str = "first"
    is_hooked: bool = False
    config: Mapping[str, Any] = field(default_factory=dict, compare=False)
    word_embeddings: Callable[[], Tensor] | None = field(default=None, compare=False)
    stored: Callable[[frozenset[str]], Mapping[str, Tensor]] | None = field(
        default=None, compare=False
    )
    has_embedding_output: bool = True
    other_prefixes: tuple[str, ...] = ()
    lora_sites: Mapping[str, Site] = field(default_factory=dict)

    def path(self, point: PlugPoint) -> str:
        """The module path of a leaf point; KeyError where the architecture has none."""
        return self.paths[point]

    @cached_property
    def paths(self) -> Mapping[PlugPoint, str]:
        """Leaf points to module paths."""
        return {point: path for path, point in self.modules.items()}
