"""What a backbone's sentence-transformers files say about its embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapter_runtime.backbone.objects import read_object
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


_CONFIGS = tuple(
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
_KNOWN_MODULES = frozenset({"Transformer", "Pooling", "Normalize"})


@dataclass(frozen=True, slots=True)
class SentenceSettings:
    """Defaults for embedding tasks.

    Args:
        pooling: `cls`, `mean` or `last`; any other value names what no head computes, such as
            `max`, `cls+mean` or `mean+Dense`, and an embedding task must then choose its own.
        normalize: vectors are scaled to length 1.
        max_tokens: the length that the model was made for, special tokens included.
    """

    pooling: str
    normalize: bool
    max_tokens: int | None


def read_sentence_settings(folder: Folder) -> SentenceSettings | None:
    """The settings in a folder that sentence-transformers saved, None in any other folder.

    Source: sentence-transformers' `modules.json`, `1_Pooling/config.json`,
    `sentence_bert_config.json`.

    Raises:
        SourceError: a file that `modules.json` names is missing.
    """
    if not folder.has("modules.json"):
        return None
    modules = folder.read_json("modules.json")
    try:
        paths = {str(module["type"]).rsplit(".", 1)[-1]: str(module["path"]) for module in modules}
    except (TypeError, KeyError) as error:
        raise BackboneError(
            f"{folder.source}: modules.json must list modules with type and path."
        ) from error
    if "Pooling" not in paths:
        return None
    modes = _pooling_modes(read_object(folder, f"{paths['Pooling']}/config.json"))
    others = [name for name in paths if name not in _KNOWN_MODULES]
    return SentenceSettings("+".join([*modes, *others]), "Normalize" in paths, _max_tokens(folder))


def _pooling_modes(config: dict[str, Any]) -> list[str]:
    named = config.get("pooling_mode")
    if named is not None:
        modes = [str(mode) for mode in (named if isinstance(named, list) else [named])]
        return ["last" if mode == "lasttoken" else mode for mode in modes]
    return [mode for key, mode in _POOLINGS.items() if config.get(key)]


def _max_tokens(folder: Folder) -> int | None:
    for name in _CONFIGS:
        if folder.has(name):
            found = read_object(folder, name).get("max_seq_length")
            return found if isinstance(found, int) and found > 0 else None
    return None
