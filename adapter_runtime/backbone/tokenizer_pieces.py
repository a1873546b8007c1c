"""Sentencepiece models as fast tokenizers, by the conversions of transformers.

The automatic classes of transformers 5 build such tokenizers in another way than those of 4 did,
which changes their tokens; the conversions themselves are still there.

Source: transformers `convert_slow_tokenizer`; transformers 4.57 `generate_merges`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend
from transformers.convert_slow_tokenizer import SLOW_TO_FAST_CONVERTERS, SpmConverter

PIECE_FILES = ("sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model")

_CLASSES: Mapping[str, str] = {
    "Albert": "AlbertTokenizer",
    "Camembert": "CamembertTokenizer",
    "DebertaV2": "DebertaV2Tokenizer",
    "MBart": "MBartTokenizer",
    "MBart50": "MBart50Tokenizer",
    "XLMRoberta": "XLMRobertaTokenizer",
    "T5": "T5Tokenizer",
    "Llama": "LlamaTokenizer",
}
"""Families to the class whose conversion they go through."""
_DEFAULTS: Mapping[str, Any] = {
    "keep_accents": False,
    "split_by_punct": False,
    "extra_ids": 100,
    "legacy": True,
}


def can_convert(family: str) -> bool:
    """Whether a family's sentencepiece models can be read."""
    return family in _CLASSES


def from_pieces(
    path: Path, family: str, config: Mapping[str, Any], specials: Mapping[str, str]
) -> Backend:
    """A sentencepiece model as the fast tokenizer that transformers 4 makes of it.

    Args:
        path: the model.
        family: a key of `FAMILIES` that can be converted.
        config: `tokenizer_config.json`.
        specials: special tokens by role.

    Raises:
        Exception: the file is no such model, in as many ways as there are readers below.
    """
    slow = _Slow(path, family, config, specials)
    converter: SpmConverter = SLOW_TO_FAST_CONVERTERS[_CLASSES[family]](slow)
    converter.SpmExtractor = _Merges  # type: ignore[assignment]  # its own reads no scores
    named: Any = converter
    slow.pieces = [piece for piece, _ in named.vocab(named.proto)]
    made: Backend = converter.converted()
    return made


class _Slow:
    """What the conversions ask a slow tokenizer for."""

    def __init__(
        self, path: Path, family: str, config: Mapping[str, Any], specials: Mapping[str, str]
    ) -> None:
        known = {**_DEFAULTS, "do_lower_case": family == "Albert"}
        for name, default in known.items():
            setattr(self, name, config.get(name, default))
        self.vocab_file = str(path)
        # Sentencepiece puts a blank before every text; null, which transformers 4 writes, is unset.
        self.add_prefix_space = config.get("add_prefix_space") is not False
        self._extra_ids = self.extra_ids = int(config.get("extra_ids", _DEFAULTS["extra_ids"]))
        self._firsts = [specials.get(role) for role in ("unk_token", "bos_token", "eos_token")]
        self.pieces: Sequence[str] = ()

    def convert_tokens_to_ids(self, token: str) -> int:
        """The number of a piece."""
        return self.pieces.index(token)

    def convert_ids_to_tokens(self, number: int) -> str | None:
        """One of the first three tokens, which a model's file may call otherwise."""
        return self._firsts[number]


class _Merges:
    """The merges of a byte-pair model, best score first."""

    def __init__(self, path: str) -> None:
        del path

    def extract(self, scores: Sequence[tuple[str, float]]) -> tuple[dict[str, int], list[Any]]:
        """Pieces by number, and the pairs that make each piece."""
        numbers = {piece: number for number, (piece, _) in enumerate(scores)}
        found = []
        for piece, score in dict(scores).items():
            halves = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
            known = [pair for pair in halves if pair[0] in numbers and pair[1] in numbers]
            known.sort(key=lambda pair: (numbers[pair[0]], numbers[pair[1]]))
            found += [(score, left, right) for left, right in known]
        found.sort(key=lambda one: (one[0], len(one[1]), len(one[2])), reverse=True)
        return numbers, [(left, right) for _, left, right in found]
