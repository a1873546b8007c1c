"""Whole modules that PEFT saves beside a method's weights, and single token vectors.

Source: `ModulesToSaveWrapper`, `TrainableTokensWrapper` and `LNTuningModel` of peft 0.21.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from adapter_runtime.checkpoint.peft import defaults as peft_defaults
from adapter_runtime.checkpoint.peft.file import PeftFile
from adapter_runtime.checkpoint.peft.targets import Targets
from adapter_runtime.methods.configuration import BadConfig, boolean
from adapter_runtime.methods.replacement import Replacement, ReplacementSettings
from adapter_runtime.methods.token_rows import TokenRows, TokenRowsSettings
from adapter_runtime.types import MODEL_LEVEL, Part, PlugPoint, Site

_TRANSPOSED = frozenset({"gpt2"})
"""Backbones whose linears store their weights the other way round."""
_LANGUAGE_TASKS = frozenset({"CAUSAL_LM", "SEQ_2_SEQ_LM"})
WORDS = PlugPoint(MODEL_LEVEL, Site.WORD_EMBEDDINGS)
COPIES = frozenset({"original_module", "modules_to_save"})
"""With `bias="all"` PEFT saves biases of its wrappers too: the replaced module's and the copy's."""


def read_saved(file: PeftFile) -> list[Part]:
    """The modules that replace the backbone's own; problems go to the ledger."""
    copies = [name for name in file.ledger.unused() if not COPIES.isdisjoint(name.split("."))]
    file.ledger.alias(copies, "bias of a wrapper")
    saved = file.saved_paths()
    parts = [_replaced(path, "", file) for path in saved if not file.is_absent(path)]
    return parts + [
        # An embedding table that was resized or targeted is saved without being asked for.
        Part(Replacement.name, point, ReplacementSettings(), {"weight": weight})
        for path, point in file.embeddings()
        if path not in saved and (weight := _whole_table(path, point, file)) is not None
    ]


def _whole_table(path: str, point: PlugPoint, file: PeftFile) -> Tensor | None:
    found = [file.name(path, suffix) for suffix in ("base_layer.weight", "weight")]
    name = next((name for name in found if name in file.ledger), None)
    if name is None:
        return None
    weight = file.ledger.take(name, file.facts.shapes[point])
    own = file.facts.word_embeddings() if file.facts.word_embeddings is not None else None
    if own is not None and torch.equal(weight.to(own), own):
        file.ledger.alias([name], "equals the backbone's word embeddings")
        return None
    if boolean(file.config, "use_dora"):
        message = f"{name} is another table than the backbone's, whose lengths DoRA divides by."
        raise BadConfig(message, "unsupported_config")
    return weight


def read_ln_tuning(file: PeftFile) -> list[Part]:
    """The norms of a LayerNorm tuning checkpoint; problems go to the ledger.

    Raises:
        BadConfig: a configuration value cannot be used.
    """
    targets = Targets.read(file.config, peft_defaults.LN_TUNING.get(file.facts.model_type))
    return [
        _replaced(path, "ln_tuning_layers.", file)
        for path, point in file.facts.modules.items()
        if file.module(path) in targets and not file.is_absent(path) and file.facts.shapes[point]
    ]


def _replaced(path: str, infix: str, file: PeftFile) -> Part:
    point = file.point(path)
    shape = file.facts.shapes[point]
    is_transposed = path in file.facts.linears and file.facts.model_type in _TRANSPOSED
    weight = file.ledger.take(
        file.name(path, f"{infix}weight"), shape[::-1] if is_transposed else shape
    )
    tensors = {"weight": weight.t().contiguous() if is_transposed else weight}
    if point in file.facts.biased:
        tensors["bias"] = file.ledger.take(file.name(path, f"{infix}bias"), shape[:1])
    return Part(Replacement.name, point, ReplacementSettings(), tensors)


def read_token_rows(file: PeftFile) -> list[Part]:
    """The single token vectors that go with any method; problems go to the ledger.

    Raises:
        BadConfig: the indices cannot be used, or are of a table that cannot be changed.
    """
    indices = file.config.get("trainable_token_indices")
    if indices is None:
        return []
    words = file.facts.paths.get(WORDS, "")
    named = indices if isinstance(indices, Mapping) else {file.module(words): indices}
    return list(_token_parts(named, "token_adapter.trainable_tokens_delta", file))


def read_trainable_tokens(file: PeftFile) -> list[Part]:
    """The Parts of a checkpoint of the type TRAINABLE_TOKENS; problems go to the ledger.

    Raises:
        BadConfig: the indices cannot be used, or are of a table that cannot be changed.
    """
    indices = file.config.get("token_indices")
    names = file.config.get("target_modules")
    targets = Targets.read(file.config, ()) if names else None
    paths = [
        file.module(path)
        for path, point in file.embeddings()
        if (point == WORDS if targets is None else file.module(path) in targets)
    ]
    return list(_token_parts(dict.fromkeys(paths, indices), "trainable_tokens_delta", file))


def _token_parts(named: Mapping[str, Any], suffix: str, file: PeftFile) -> Iterator[Part]:
    _refuse_tied_head(file)
    for name, indices in named.items():
        tables = [item for item in file.embeddings() if file.module(item[0]).endswith(str(name))]
        if not tables:
            message = f"{name} is no embedding table whose tokens can be changed."
            raise BadConfig(message, "unsupported_module")
        for path, point in tables:
            vocabulary, width = file.facts.shapes[point]
            ids = _token_ids(indices, vocabulary)
            vectors = file.ledger.take(file.name(path, suffix), (len(ids), width))
            yield Part(TokenRows.name, point, TokenRowsSettings(ids), {"vectors": vectors})


def _refuse_tied_head(file: PeftFile) -> None:
    is_tied = file.facts.config.get("tie_word_embeddings", False)
    if str(file.config.get("task_type")) in _LANGUAGE_TASKS and is_tied:
        message = (
            "The trained token vectors change the tied language model head too, which is not "
            "supported; train them with an untied head."
        )
        raise BadConfig(message, "unsupported_config")


def _token_ids(values: Any, vocabulary: int) -> tuple[int, ...]:
    if not isinstance(values, (list, tuple)) or not all(
        _is_id(value, vocabulary) for value in values
    ):
        raise BadConfig(f"Token indices must be a list of numbers below {vocabulary}.")
    if not values or len(set(values)) < len(values):
        raise BadConfig("Token indices must name at least one token, and none twice.")
    return tuple(values)


def _is_id(value: Any, vocabulary: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < vocabulary
