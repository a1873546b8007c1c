"""The table of all architectures; each family's rows have a file under `families`."""

from __future__ import annotations

from adapter_runtime.backbone.families.albert import ALBERT
from adapter_runtime.backbone.families.bart import BART
from adapter_runtime.backbone.families.bert import BERT
from adapter_runtime.backbone.families.deberta import DEBERTA
from adapter_runtime.backbone.families.distilbert import DISTILBERT
from adapter_runtime.backbone.families.esm import ESM
from adapter_runtime.backbone.families.gpt2 import GPT2
from adapter_runtime.backbone.families.llama import LLAMA
from adapter_runtime.backbone.families.modernbert import MODERNBERT
from adapter_runtime.backbone.families.nomic import NOMIC
from adapter_runtime.backbone.families.t5 import T5
from adapter_runtime.backbone.families.xlm_roberta_xl import XLM_ROBERTA_XL
from adapter_runtime.backbone.rows import Architecture
from adapter_runtime.errors import BackboneError

ARCHITECTURES: tuple[Architecture, ...] = (
    *BERT,
    *DISTILBERT,
    *GPT2,
    *LLAMA,
    *BART,
    *T5,
    *ALBERT,
    *DEBERTA,
    *MODERNBERT,
    *XLM_ROBERTA_XL,
    *ESM,
    *NOMIC,
)


def find_architecture(model_type: str) -> Architecture:
    """The row of a `config.model_type`.

    Raises:
        BackboneError: no row has it; lists those that exist.
    """
    rows = {name: row for row in ARCHITECTURES for name in row.model_types}
    if model_type not in rows:
        known = ", ".join(sorted(rows))
        raise BackboneError(
            f"Backbones of type {model_type!r} are not supported; use one of {known}."
        )
    return rows[model_type]
