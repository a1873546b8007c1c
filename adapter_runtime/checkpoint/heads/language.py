"""Language model heads from any file, and whether they own their vocabulary's matrix.

A head that was trained on tied embeddings is saved with a copy of them. Where the copy equals the
backbone's matrix the backbone's is used; where it differs the head keeps its own, and the
backbone is never written.

Source: `adapters` 1.3.0 `CausalLMHead.build`; transformers `tie_weights`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.heads.build import check_activation, head_digest, stored_name
from adapter_runtime.checkpoint.heads.classes import StaticHead
from adapter_runtime.checkpoint.heads.static import activation_on
from adapter_runtime.heads.language import DECODER, LanguageSettings, language_shapes
from adapter_runtime.ledger import Ledger
from adapter_runtime.types import HeadSpec, HeadWeights, Note

_EPS = 1e-12
"""The LayerNorm's epsilon where the model's configuration has no `layer_norm_eps`."""


@dataclass(frozen=True)
class LanguageLayout:
    """What a checkpoint says about a language model head before its tensors are taken.

    Args:
        name: the head's name in the checkpoint.
        head_type: `masked_lm`, `causal_lm` or `seq2seq_lm`.
        settings: the head; `is_tied` and the bias are found out from the tensors.
        prefixes: where each linear layer lies in the file, the vocabulary's last.
        norms: where the LayerNorm behind each layer but the last lies.
        spare_bias: a second name of the vocabulary's bias.
    """

    name: str
    head_type: str
    settings: LanguageSettings
    prefixes: tuple[str, ...]
    norms: tuple[str, ...] = ()
    spare_bias: str | None = None


def static_language(head: StaticHead, facts: BackboneFacts, ledger: Ledger) -> LanguageLayout:
    """The layout of a task class's head in a file or a backbone's folder."""
    config, layers = facts.config, len(head.modules)
    shape = ledger.shape(f"{head.modules[-1]}.weight")
    settings = LanguageSettings(
        layers=layers,
        width=facts.embedding_size if layers > 1 else facts.hidden_size,
        vocab_size=shape[0] if shape else facts.vocab_size,
        activation=activation_on(head, facts),
        norm_eps=_norm_eps(head, facts) if head.norms else None,
        bias=head.bias,
        scale=output_scale(facts) if head.head_type == "seq2seq_lm" else 1.0,
    )
    if head.has_prediction_head:
        settings = replace(
            settings,
            hidden_bias=bool(config.get("classifier_bias", False)),
            norm_bias=bool(config.get("norm_bias", False)),
            bias=bool(config.get("decoder_bias", True)),
        )
    return LanguageLayout("", head.head_type, settings, head.modules, head.norms, head.spare_bias)


def _norm_eps(head: StaticHead, facts: BackboneFacts) -> float:
    key = "norm_eps" if head.has_prediction_head else "layer_norm_eps"
    return float(facts.config.get(key, _EPS))


def output_scale(facts: BackboneFacts) -> float:
    """T5 with tied embeddings divides the states by the root of their width."""
    return float(facts.hidden_size**-0.5) if facts.config.get("scale_decoder_outputs") else 1.0


def build_language(
    layout: LanguageLayout,
    ledger: Ledger,
    facts: BackboneFacts,
    options: Mapping[str, Any],
    file_digest: str,
) -> HeadWeights:
    """Take a language model head's tensors; what is wrong becomes problems of the ledger.

    Args:
        layout: the head.
        ledger: the file's tensors.
        facts: the backbone.
        options: the task's; `mlm_inverse` false leaves the adapter's invertible block alone.
        file_digest: names the files' content.
    """
    bias, has_bias = _find_bias(layout, ledger)
    is_tied, notes = _find_tie(layout, ledger, facts)
    settings = replace(
        layout.settings,
        bias=has_bias,
        is_tied=is_tied,
        inverts=options.get("mlm_inverse", True) is not False,
    )
    if settings.layers == 1 and settings.width != facts.hidden_size:
        message = f"The head reads width {settings.width}, the backbone has {facts.hidden_size}."
        ledger.problem("wrong_shape", message)
    check_activation(settings.activation if settings.layers > 1 else None, ledger)
    tensors = {}
    for name, shape in language_shapes(settings, facts.hidden_size).items():
        if name == "decoder.bias":
            stored = ledger.take(bias, _as_stored(ledger, bias, shape))
            tensors[name] = stored.reshape(shape) if stored.numel() == shape[0] else stored
        elif name == DECODER:
            tensors[name] = ledger.take(f"{layout.prefixes[-1]}.weight", shape)
        else:
            tensors[name] = ledger.take(stored_name(name, layout.prefixes, layout.norms), shape)
    digest = head_digest(file_digest, layout.head_type, settings, layout.prefixes)
    spec = HeadSpec(layout.head_type, settings, (), digest, layout.name)
    return HeadWeights(spec, tensors, notes)


def _find_bias(layout: LanguageLayout, ledger: Ledger) -> tuple[str, bool]:
    """The name of the vocabulary's bias, and whether there is one.

    The bias has two names in many files; in old ones only the outer one.
    """
    inner, spare = f"{layout.prefixes[-1]}.bias", layout.spare_bias
    if inner in ledger or spare is None or spare not in ledger:
        if spare is not None:
            ledger.alias([spare], "the vocabulary's bias once more")
        return inner, layout.settings.bias
    return spare, True


def _as_stored(ledger: Ledger, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """BART's bias on the logits has a dimension for the batch."""
    return (1, *shape) if ledger.shape(name) == (1, *shape) else shape


def _find_tie(
    layout: LanguageLayout, ledger: Ledger, facts: BackboneFacts
) -> tuple[bool, tuple[Note, ...]]:
    name = f"{layout.prefixes[-1]}.weight"
    matrix = facts.word_embeddings() if facts.word_embeddings is not None else None
    if name not in ledger:
        shape = (layout.settings.vocab_size, layout.settings.width)
        fits = matrix is not None and tuple(matrix.shape) == shape
        is_tied = fits and facts.config.get("tie_word_embeddings", True) is not False
        note = Note("tied_decoder", "The vocabulary's matrix is the backbone's embeddings.")
        return is_tied, (note,) if is_tied else ()
    if matrix is not None and _equals(ledger, name, matrix):
        ledger.alias([name], "equals the backbone's word embeddings")
        return True, ()
    if facts.config.get("tie_word_embeddings", True) is False:
        return False, ()
    return False, (_differs(ledger, name, facts),)


def _differs(ledger: Ledger, name: str, facts: BackboneFacts) -> Note:
    shape = ledger.shape(name) or (0,)
    if shape[0] != facts.vocab_size:
        message = (
            f"The head's vocabulary has {shape[0]} tokens, the backbone's {facts.vocab_size}: its "
            "answers are right only if it was trained with the same tokenizer."
        )
        return Note("other_vocabulary", message)
    message = (
        "The vocabulary's matrix differs from the backbone's embeddings, so the head keeps its own."
    )
    return Note("private_decoder", message)


def _equals(ledger: Ledger, name: str, matrix: torch.Tensor) -> bool:
    if ledger.shape(name) != tuple(matrix.shape):
        return False
    return torch.equal(ledger.peek(name).to(matrix.dtype), matrix.detach().cpu())
