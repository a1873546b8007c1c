"""The cases of the golden set `heads`, as data."""

from __future__ import annotations

from typing import Any

LABELS = {0: "negative", 1: "neutral", 2: "positive"}
_RELATIONS = {"nsubj": 0, "obj": 1, "root": 2, "det": 3, "case": 4}
_LABELLED = {"num_labels": 3, "label2id": {label: number for number, label in LABELS.items()}}
_STACK = {"layers": 2, "activation_function": "tanh", **_LABELLED}
_ONE = {"layers": 1, "activation_function": "tanh", "num_labels": 2}
_CHOICE = {"layers": 2, "activation_function": "tanh", "num_choices": 1, "use_pooler": False}
_ROW = {**_STACK, "use_pooler": False, "bias": True}
_MASKED = {"layers": 2, "activation_function": "gelu", "layer_norm": True, "bias": True}
_NEXT = {"layers": 1, "activation_function": None, "layer_norm": False, "bias": False}

FLEX = {
    "bert": "Bert",
    "roberta": "Roberta",
    "xlm-roberta": "XLMRoberta",
    "electra": "Electra",
    "distilbert": "DistilBert",
    "albert": "Albert",
    "deberta": "Deberta",
    "deberta-v2": "DebertaV2",
    "bart": "Bart",
    "mbart": "MBart",
    "plbart": "PLBart",
    "t5": "T5",
    "mt5": "MT5",
    "gpt2": "GPT2",
    "llama": "Llama",
    "mistral": "Mistral",
}
"""Model types that the library has flexible heads for, to their classes' prefix."""

TASK_CLASSES = FLEX | {"modernbert": "ModernBert", "qwen2": "Qwen2", "qwen3": "Qwen3"}

Case = tuple[str, str, dict[str, Any]]
"""A case's name, its head type, and the head's configuration."""

_ENCODER: tuple[Case, ...] = (
    ("classification", "classification", _ROW),
    ("multilabel", "multilabel_classification", _ROW),
    ("tagging", "tagging", {**_STACK, "layers": 1}),
    ("answering", "question_answering", _ONE),
    ("choice", "multiple_choice", _CHOICE),
    ("masked", "masked_lm", _MASKED),
)
_CAUSAL: Case = ("causal", "causal_lm", {**_MASKED, "shift_labels": True})
_PARSING: Case = ("parsing", "dependency_parsing", {"num_labels": 5, "label2id": _RELATIONS})
_DECODER: tuple[Case, ...] = (
    ("classification", "classification", _ROW),
    ("multilabel", "multilabel_classification", _ROW),
    ("tagging", "tagging", {**_STACK, "layers": 1}),
    ("answering", "question_answering", _ONE),
    ("causal", "causal_lm", {**_NEXT, "shift_labels": True}),
)
_SEQ2SEQ: tuple[Case, ...] = (
    ("classification", "classification", _ROW),
    ("multilabel", "multilabel_classification", _ROW),
    ("answering", "question_answering", _ONE),
    ("seq2seq", "seq2seq_lm", {**_NEXT, "shift_labels": False}),
)
_MORE_BERT: tuple[Case, ...] = (
    ("pooler", "classification", {**_ROW, "use_pooler": True}),
    ("plain", "classification", {**_ROW, "activation_function": None, "layers": 3}),
    ("unbiased", "classification", {**_ROW, "bias": False, "layers": 1}),
    ("deep-tagging", "tagging", {**_STACK, "layers": 3, "activation_function": "swish"}),
    ("masked-private", "masked_lm", {**_MASKED, "private": True}),
    ("masked-one", "masked_lm", {**_MASKED, "layers": 1, "bias": False}),
    ("masked-three", "masked_lm", {**_MASKED, "layers": 3, "activation_function": "gelu_new"}),
    ("masked-plain", "masked_lm", {**_MASKED, "activation_function": None, "layer_norm": False}),
    ("masked-normed", "masked_lm", {**_MASKED, "activation_function": None}),
    ("masked-narrow", "masked_lm", {**_MASKED, "embedding_size": 12, "private": True}),
    ("masked-small", "masked_lm", {**_MASKED, "vocab_size": 60, "private": True}),
    ("causal-one", "causal_lm", {**_NEXT, "shift_labels": True}),
    ("parsing-two", "dependency_parsing", {"num_labels": 2, "label2id": None}),
)
_POOLED: Case = ("pooler", "classification", {**_ROW, "use_pooler": True})
_BY_TYPE: dict[str, tuple[Case, ...]] = {
    "bert": (*_ENCODER, _CAUSAL, _PARSING, *_MORE_BERT),
    **dict.fromkeys(("roberta", "xlm-roberta"), (*_ENCODER, _CAUSAL, _PARSING, _POOLED)),
    **dict.fromkeys(("electra", "distilbert"), (*_ENCODER, _CAUSAL, _PARSING)),
    "albert": (*_ENCODER, _POOLED),
    **dict.fromkeys(("deberta", "deberta-v2"), _ENCODER),
    **dict.fromkeys(("bart", "mbart", "plbart", "t5", "mt5"), _SEQ2SEQ),
    **dict.fromkeys(("gpt2", "llama", "mistral"), _DECODER),
}

_SEQUENCE = {"ForSequenceClassification": "classification"}
_TOKEN = {"ForTokenClassification": "tagging"}
_QUESTION = {"ForQuestionAnswering": "question_answering"}
_MULTIPLE = {"ForMultipleChoice": "multiple_choice"}
_MASKED_CLASS = {"ForMaskedLM": "masked_lm"}
_CLASSIC = _SEQUENCE | _TOKEN | _QUESTION | _MULTIPLE | _MASKED_CLASS
_SEQ2SEQ_CLASSES = _SEQUENCE | _QUESTION | {"ForConditionalGeneration": "seq2seq_lm"}
_LLAMA = _SEQUENCE | _TOKEN | _QUESTION | {"ForCausalLM": "causal_lm"}
_CAUSAL_CLASS = {"ForCausalLM": "causal_lm"}
_STATIC: dict[str, dict[str, str]] = {
    "bert": _CLASSIC | {"LMHeadModel": "causal_lm"},
    **dict.fromkeys(("roberta", "xlm-roberta", "electra"), _CLASSIC | _CAUSAL_CLASS),
    **dict.fromkeys(("distilbert", "albert", "deberta-v2"), _CLASSIC),
    "deberta": _SEQUENCE | _TOKEN | _QUESTION | _MASKED_CLASS,
    "modernbert": _SEQUENCE | _TOKEN | _QUESTION | _MASKED_CLASS,
    **dict.fromkeys(("bart", "mbart", "plbart", "t5", "mt5"), _SEQ2SEQ_CLASSES),
    "gpt2": _SEQUENCE | _TOKEN | _QUESTION | {"LMHeadModel": "causal_lm"},
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), _LLAMA),
}

INVERTIBLE = ("bert", "roberta", "xlm-roberta", "electra", "distilbert")
"""Backbones with a language adapter's invertible block around masked words."""

PEFT_TASKS = {"CAUSAL_LM": "causal_lm", "SEQ_2_SEQ_LM": "seq2seq_lm"}
PEFT_LANGUAGE: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("gpt2", "LMHeadModel", "CAUSAL_LM", {"target_modules": ["c_attn"], "fan_in_fan_out": True}),
    ("bart", "ForConditionalGeneration", "SEQ_2_SEQ_LM", {"target_modules": ["q_proj", "v_proj"]}),
    ("t5", "ForConditionalGeneration", "SEQ_2_SEQ_LM", {"target_modules": ["q", "v"]}),
    (
        "llama",
        "ForCausalLM",
        "CAUSAL_LM",
        {"target_modules": ["q_proj", "v_proj"], "modules_to_save": ["lm_head"]},
    ),
)
"""Backbone, class, PEFT's task type and further settings of its LoRA."""

_VARIANTS = {
    "albert-groups": 1,
    "deberta-v3": 1,
    "gpt2-padded": 1,
    "llama-padded": 1,
    "modernbert-mean": 1,
}
"""Backbones of a type that another name stands for already, and how many cases they still get."""


def flex_cases(name: str, model_type: str) -> tuple[Case, ...]:
    """The flexible heads of a golden backbone."""
    return _BY_TYPE.get(model_type, ())[: _VARIANTS.get(name)]


def static_cases(name: str, model_type: str) -> dict[str, str]:
    """The task classes of a golden backbone by the end of their names, with their head types."""
    return dict(list(_STATIC.get(model_type, {}).items())[: _VARIANTS.get(name)])
