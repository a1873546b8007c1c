"""What a backbone's sentence-transformers files say about its embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapter_runtime.errors import BackboneError
from adapter_runtime.sources.folder import Folder

_POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weighted_mean",
    "pooling_mode_lasttoken": "last",
}


@dataclass(frozen=True, slots=True)
class SentenceSettings:
    """Defaults for embedding tasks.

    Args:
        pooling: `cls` or `mean`; other values name modes that no head computes.
        normalize: vectors are scaled to length 1.
        max_tokens: the length that the model was made for, special tokens included.
    """

    pooling: str
    normalize: bool
    max_tokens: int | None


def read_sentence_settings(folder: Folder) -> SentenceSettings | None:
    """The settings in a folder that sentence-transformers saved, None in any other folder.

    Raises:
        BackboneError: the pooling file names no mode.
    """
    if not folder.has("modules.json"):
        return None
    modules = folder.read_json("modules.json")
    paths = {str(module["type"]).rsplit(".", 1)[-1]: str(module["path"]) for module in modules}
    if "Pooling" not in paths:
        return None
    pooling = folder.read_json(f"{paths['Pooling']}/config.json")
    return SentenceSettings(
        pooling=_pooling_mode(pooling, folder.source),
        normalize="Normalize" in paths,
        max_tokens=_max_tokens(folder),
    )


def _pooling_mode(config: dict[str, Any], source: str) -> str:
    modes = [mode for key, mode in _POOLINGS.items() if config.get(key)]
    named = config.get("pooling_mode")
    if isinstance(named, str):
        modes = [named]
    if len(modes) != 1:
        raise BackboneError(
            f"{source}: the sentence-transformers pooling file must name one pooling mode; "
            f"it names {', '.join(modes) or 'none'}."
        )
    return modes[0]


def _max_tokens(folder: Folder) -> int | None:
    if not folder.has("sentence_bert_config.json"):
        return None
    found = folder.read_json("sentence_bert_config.json").get("max_seq_length")
    return int(found) if found else None
