"""Tokenizer classes as a table: what each forces on the file that it reads.

Source: transformers 4.57 `PreTrainedTokenizerFast` subclasses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_BERT = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_ROBERTA = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "cls_token": "<s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}
_T5 = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
_MARKED = _BERT | {"bos_token": "[CLS]", "eos_token": "[SEP]"}
_ENDS = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
_QWEN = dict.fromkeys(("eos_token", "unk_token", "pad_token"), "<|endoftext|>")
_LLAMA = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
SPECIAL_KEYS = tuple(_ROBERTA)
"""Roles of special tokens."""
LANGUAGE = "src_lang"
"""The configured language, in place of a role."""


@dataclass(frozen=True)
class Family:
    """A tokenizer class: its default special tokens and which settings it forces on the file.

    Args:
        specials: special tokens by role.
        normalizer: settings of the normalizer, with the configuration's key and the default.
        trims_offsets: the post-processor's settings are the configuration's.
        strips_mask: a mask swallows the blank before it.
        around: roles of the tokens before and after every text, in place of the file's template;
            `src_lang` is the code of the configured language.
        opens: the configuration says whether the begin and end tokens stand around each text, in
            place of the file's template.
    """

    specials: Mapping[str, str]
    normalizer: Mapping[str, tuple[str, Any]]
    trims_offsets: bool = False
    strips_mask: bool = False
    around: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    opens: bool = False


_CASING = {"lowercase": ("do_lower_case", True), "strip_accents": ("strip_accents", None)}
_CHINESE = {"handle_chinese_chars": ("tokenize_chinese_chars", True)}
PLAIN = Family({}, {})
FAMILIES: Mapping[str, Family] = {
    "Bert": Family(_BERT, _CASING | _CHINESE),
    "Electra": Family(_BERT, _CASING | _CHINESE),
    "DistilBert": Family(_BERT, _CASING | _CHINESE),
    "MPNet": Family(_ROBERTA | {"unk_token": "[UNK]"}, _CASING, strips_mask=True),
    "Roberta": Family(_ROBERTA, {}, trims_offsets=True, strips_mask=True),
    "XLMRoberta": Family(_ROBERTA, {}, strips_mask=True),
    "Bart": Family(_ROBERTA, {}, trims_offsets=True, strips_mask=True),
    "MBart": Family(_ROBERTA, {}, strips_mask=True, around=((), ("eos_token", LANGUAGE))),
    "MBart50": Family(_ROBERTA, {}, strips_mask=True, around=((LANGUAGE,), ("eos_token",))),
    "T5": Family(_T5, {}),
    "Albert": Family(_MARKED | {"unk_token": "<unk>", "pad_token": "<pad>"}, {}, strips_mask=True),
    "Camembert": Family(_ROBERTA, {}, strips_mask=True),
    "Deberta": Family(_MARKED, {}),
    "DebertaV2": Family(_MARKED, {}),
    "GPT2": Family(_ENDS, {}),
    "Qwen2": Family(_QWEN, {}),
    "Llama": Family(_LLAMA, {}, opens=True),
}
BY_MODEL_TYPE = {
    "bert": "Bert",
    "electra": "Electra",
    "distilbert": "DistilBert",
    "mpnet": "MPNet",
    "roberta": "Roberta",
    "xlm-roberta": "XLMRoberta",
    "bart": "Bart",
    "mbart": "MBart",
    "t5": "T5",
    "mt5": "T5",
    "albert": "Albert",
    "camembert": "Camembert",
    "deberta": "Deberta",
    "deberta-v2": "DebertaV2",
    "xlm-roberta-xl": "XLMRoberta",
    "gpt2": "GPT2",
    "llama": "Llama",
    "mistral": "Llama",
    "qwen2": "Qwen2",
    "qwen3": "Qwen2",
    "nomic_bert": "Bert",
}
