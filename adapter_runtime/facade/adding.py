"""New heads by kind, with the defaults of the `adapters` library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from adapter_runtime.checkpoint.heads.new import new_language_head, new_parsing_head
from adapter_runtime.checkpoint.heads.reading import new_head
from adapter_runtime.facade.shelf import Shelf
from adapter_runtime.types import HeadWeights


class AddsHeads:
    """The `add_*_head` calls; each new head is freshly initialised and made active.

    Args:
        shelf: where the heads go.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._random = torch.Generator().manual_seed(0)

    def add_classification_head(
        self,
        name: str,
        num_labels: int = 2,
        layers: int = 2,
        activation_function: str | None = "tanh",
        multilabel: bool = False,
        id2label: Mapping[int, str] | None = None,
        use_pooler: bool = False,
        bias: bool = True,
    ) -> None:
        """Add a freshly initialised classification head and make it active."""
        self._add_head(
            name,
            "multilabel_classification" if multilabel else "classification",
            id2label,
            num_labels=num_labels,
            layers=layers,
            activation_function=activation_function,
            use_pooler=use_pooler,
            bias=bias,
        )

    def add_tagging_head(
        self,
        name: str,
        num_labels: int = 2,
        layers: int = 1,
        activation_function: str | None = "tanh",
        id2label: Mapping[int, str] | None = None,
    ) -> None:
        """Add a freshly initialised token classification head and make it active."""
        self._add_head(
            name,
            "tagging",
            id2label,
            num_labels=num_labels,
            layers=layers,
            activation_function=activation_function,
        )

    def add_qa_head(
        self, name: str, layers: int = 1, activation_function: str | None = "tanh"
    ) -> None:
        """Add a freshly initialised question answering head and make it active."""
        self._add_head(
            name,
            "question_answering",
            None,
            num_labels=2,
            layers=layers,
            activation_function=activation_function,
        )

    def add_multiple_choice_head(
        self,
        name: str,
        num_choices: int = 2,
        layers: int = 2,
        activation_function: str | None = "tanh",
        use_pooler: bool = False,
    ) -> None:
        """Add a freshly initialised multiple choice head and make it active."""
        self._add_head(
            name,
            "multiple_choice",
            None,
            num_choices=num_choices,
            layers=layers,
            activation_function=activation_function,
            use_pooler=use_pooler,
        )

    def add_masked_lm_head(
        self, name: str, activation_function: str | None = "gelu", layers: int = 2
    ) -> None:
        """Add a freshly initialised masked language model head and make it active."""
        self._add_language_head(name, "masked_lm", activation_function, layers, True)

    def add_causal_lm_head(
        self, name: str, activation_function: str | None = "gelu", layers: int = 2
    ) -> None:
        """Add a freshly initialised causal language model head and make it active."""
        self._add_language_head(name, "causal_lm", activation_function, layers, True)

    def add_seq2seq_lm_head(self, name: str, layers: int = 1) -> None:
        """Add a freshly initialised language model head for a decoder and make it active."""
        self._add_language_head(name, "seq2seq_lm", None, layers, False)

    def add_dependency_parsing_head(
        self, name: str, num_labels: int = 2, id2label: Mapping[int, str] | None = None
    ) -> None:
        """Add a freshly initialised dependency parsing head and make it active."""
        facts, labels = self._shelf.engine.backbone.facts, _labels(id2label)
        self._put(name, new_parsing_head(name, num_labels, labels, facts, self._random))

    def _add_language_head(
        self, name: str, head_type: str, activation: str | None, layers: int, is_full: bool
    ) -> None:
        facts = self._shelf.engine.backbone.facts
        settings = {
            "layers": layers,
            "activation_function": activation,
            "layer_norm": is_full,
            "bias": is_full,
        }
        self._put(name, new_language_head(name, head_type, settings, facts, self._random))

    def _add_head(
        self, name: str, head_type: str, id2label: Mapping[int, str] | None, **settings: Any
    ) -> None:
        facts = self._shelf.engine.backbone.facts
        self._put(name, new_head(name, head_type, settings, _labels(id2label), facts, self._random))

    def _put(self, name: str, head: HeadWeights) -> None:
        self._shelf.put_head(name, head)
        self._shelf.active_head = name


def _labels(id2label: Mapping[int, str] | None) -> list[str] | None:
    return [id2label[key] for key in sorted(id2label)] if id2label else None
