"""Dependency parsing heads from AdapterHub files.

Source: `adapters` 1.3.0 `BiaffineParsingHead`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.heads.build import head_digest, label_names
from adapter_runtime.heads.dependency_parsing import (
    ARCS,
    RELATIONS,
    ParsingSettings,
    parsing_shapes,
)
from adapter_runtime.ledger import Ledger
from adapter_runtime.types import HeadSpec, HeadWeights, Note

PARSING = "dependency_parsing"
STORED = {ARCS: "biaffine_arcs.weight", RELATIONS: "biaffine_rels.weight"}
"""Canonical tensors to their names behind `heads.NAME.`."""


@dataclass(frozen=True)
class ParsingLayout:
    """What a checkpoint says about a parsing head.

    Args:
        name: the head's name in the checkpoint.
        num_labels: relations.
        labels: their names by id, as far as the checkpoint has them.
    """

    name: str
    num_labels: int
    labels: Mapping[int, str] | None = None
    head_type: str = PARSING


def build_parsing(
    layout: ParsingLayout,
    ledger: Ledger,
    facts: BackboneFacts,
    labels: Sequence[str] | None,
    file_digest: str,
) -> HeadWeights:
    """Take a parsing head's tensors; what is wrong becomes problems of the ledger."""
    pad = facts.config.get("pad_token_id")
    settings = ParsingSettings(layout.num_labels, pad if isinstance(pad, int) else None)
    tensors = {
        name: ledger.take(f"heads.{layout.name}.{STORED[name]}", shape)
        for name, shape in parsing_shapes(settings, facts.hidden_size).items()
    }
    names, notes = label_names(layout, layout.num_labels, labels, ledger)
    if settings.pad_id:
        message = (
            f"The library takes a word that starts at token {settings.pad_id} for padding on this "
            "backbone, so it and the words after it move up by one, as at training."
        )
        notes = (*notes, Note("parsing_pad", message))
    digest = head_digest(file_digest, PARSING, settings, names)
    return HeadWeights(HeadSpec(PARSING, settings, names, digest, layout.name), tensors, notes)
