"""The prediction heads of Hugging Face task classes, by family and class, as one table.

Source: transformers `modeling_*.py` of each architecture; `adapters` 1.3.0 `head_utils`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from adapter_runtime.heads.layers import StackSettings

FAMILIES: Mapping[str, str] = {
    "Bert": "bert",
    "Roberta": "roberta",
    "XLMRoberta": "xlm-roberta",
    "XLMRobertaXL": "xlm-roberta-xl",
    "Camembert": "camembert",
    "DistilBert": "distilbert",
    "Electra": "electra",
    "MPNet": "mpnet",
    "Albert": "albert",
    "Deberta": "deberta",
    "DebertaV2": "deberta-v2",
    "ModernBert": "modernbert",
    "Esm": "esm",
    "NomicBert": "nomic_bert",
    "Bart": "bart",
    "MBart": "mbart",
    "PLBart": "plbart",
    "T5": "t5",
    "MT5": "mt5",
    "GPT2": "gpt2",
    "Llama": "llama",
    "Mistral": "mistral",
    "Qwen2": "qwen2",
    "Qwen3": "qwen3",
}
"""Class name prefixes to `config.model_type`."""

SEQUENCE, CHOICE = "ForSequenceClassification", "ForMultipleChoice"
TOKEN, QUESTION = "ForTokenClassification", "ForQuestionAnswering"
MASKED, CAUSAL, SEQ2SEQ = "ForMaskedLM", "ForCausalLM", "ForConditionalGeneration"
LM_HEAD_MODEL = "LMHeadModel"


LANGUAGE_TYPES = frozenset({"masked_lm", "causal_lm", "seq2seq_lm"})


class StaticHead(NamedTuple):
    """A task class's head as layers.

    Args:
        head_type: a key of `HEADS`.
        modules: where its linear layers lie, layer by layer.
        activation: between the layers.
        use_pooler: it reads the base model's pooler.
        bias: whether the last layer has one.
        norms: the LayerNorm behind each layer but the last; empty where there are none.
        activation_key: the key of the model's configuration that names the activation, if any.
        spare_bias: a second name of the last layer's bias, and the only one in old files.
        has_prediction_head: the layers before the last are ModernBERT's prediction head, whose
            biases and pooling are matters of the model's configuration.
    """

    head_type: str
    modules: tuple[str, ...]
    activation: str | None = None
    use_pooler: bool = False
    bias: bool = True
    norms: tuple[str, ...] = ()
    activation_key: str | None = None
    spare_bias: str | None = None
    has_prediction_head: bool = False

    @property
    def settings(self) -> StackSettings:
        """The head's layer stack, but for what depends on the backbone."""
        return StackSettings(len(self.modules), self.activation, self.use_pooler, self.bias)

    @property
    def is_language(self) -> bool:
        """It projects onto a vocabulary."""
        return self.head_type in LANGUAGE_TYPES


_CLASSIFIER, _DENSE = ("classifier",), ("classifier.dense", "classifier.out_proj")
_PRE, _SUMMARY = ("pre_classifier", "classifier"), ("sequence_summary.summary", "classifier")
_CONTEXT, _EOS = (
    ("pooler.dense", "classifier"),
    ("classification_head.dense", "classification_head.out_proj"),
)
_TANH = StaticHead("classification", _DENSE, "tanh")
_TAGGING, _ANSWERING = (
    StaticHead("tagging", _CLASSIFIER),
    StaticHead("question_answering", ("qa_outputs",)),
)
_POOLED = {
    SEQUENCE: StaticHead("classification", _CLASSIFIER, use_pooler=True),
    CHOICE: StaticHead("multiple_choice", _CLASSIFIER, use_pooler=True),
}
_PER_TOKEN = {TOKEN: _TAGGING, QUESTION: _ANSWERING}


def _transformed(
    root: str, decoder: str, activation: str = "gelu", key: str | None = None, **names: str
) -> StaticHead:
    """A masked language model's head: `dense`, activation, LayerNorm, vocabulary."""
    dense, norm = names.get("dense", "dense"), names.get("norm", "LayerNorm")
    return StaticHead(
        "masked_lm",
        (f"{root}.{dense}", decoder),
        activation,
        norms=(f"{root}.{norm}",),
        activation_key=key,
        spare_bias=names.get("bias"),
    )


_CLS = _transformed(
    "cls.predictions.transform",
    "cls.predictions.decoder",
    key="hidden_act",
    bias="cls.predictions.bias",
)
_LM_HEAD = _transformed("lm_head", "lm_head.decoder", norm="layer_norm", bias="lm_head.bias")
_GENERATOR = _transformed("generator_predictions", "generator_lm_head")


def _causal(head: StaticHead) -> StaticHead:
    return head._replace(head_type="causal_lm")


_BERT = _POOLED | _PER_TOKEN
_ROBERTA = {
    SEQUENCE: _TANH,
    CHOICE: _POOLED[CHOICE],
    **_PER_TOKEN,
    MASKED: _LM_HEAD,
    CAUSAL: _causal(_LM_HEAD),
}
_DEBERTA = {
    SEQUENCE: StaticHead("classification", _CONTEXT, "gelu", activation_key="pooler_hidden_act"),
    **_PER_TOKEN,
    MASKED: _CLS,
}
_MODERN = {
    suffix: StaticHead(
        head_type,
        ("head.dense", "classifier"),
        "gelu",
        norms=("head.norm",),
        activation_key="classifier_activation",
        has_prediction_head=True,
    )
    for suffix, head_type in (
        (SEQUENCE, "classification"),
        (TOKEN, "tagging"),
        (QUESTION, "question_answering"),
        (CHOICE, "multiple_choice"),
    )
}
_BART = {
    SEQUENCE: StaticHead("classification", _EOS, "tanh"),
    QUESTION: _ANSWERING,
    SEQ2SEQ: StaticHead("seq2seq_lm", ("lm_head",), bias=False, spare_bias="final_logits_bias"),
}
_T5 = _BART | {SEQ2SEQ: StaticHead("seq2seq_lm", ("lm_head",), bias=False)}
_SCORE = StaticHead("classification", ("score",), bias=False)
_NEXT = StaticHead("causal_lm", ("lm_head",), bias=False)
_LLAMA = {
    SEQUENCE: _SCORE,
    TOKEN: StaticHead("tagging", ("score",)),
    QUESTION: _ANSWERING,
    CAUSAL: _NEXT,
}

BY_FAMILY: Mapping[str, Mapping[str, StaticHead]] = {
    "Bert": _BERT | {MASKED: _CLS, LM_HEAD_MODEL: _causal(_CLS)},
    "Roberta": _ROBERTA,
    "XLMRoberta": _ROBERTA,
    "XLMRobertaXL": _ROBERTA,
    "Camembert": _ROBERTA,
    "MPNet": {suffix: head for suffix, head in _ROBERTA.items() if suffix != CAUSAL},
    "DistilBert": {
        SEQUENCE: StaticHead("classification", _PRE, "relu"),
        CHOICE: StaticHead("multiple_choice", _PRE, "relu"),
        **_PER_TOKEN,
        MASKED: StaticHead(
            "masked_lm",
            ("vocab_transform", "vocab_projector"),
            "gelu",
            norms=("vocab_layer_norm",),
            activation_key="activation",
        ),
    },
    "Electra": {
        SEQUENCE: StaticHead("classification", _DENSE, "gelu"),
        CHOICE: StaticHead(
            "multiple_choice", _SUMMARY, "gelu", activation_key="summary_activation"
        ),
        **_PER_TOKEN,
        MASKED: _GENERATOR,
        CAUSAL: _causal(_GENERATOR),
    },
    "Albert": _BERT
    | {
        MASKED: _transformed(
            "predictions", "predictions.decoder", "gelu_new", "hidden_act", bias="predictions.bias"
        )
    },
    "Deberta": _DEBERTA,
    "DebertaV2": _DEBERTA | {CHOICE: _DEBERTA[SEQUENCE]._replace(head_type="multiple_choice")},
    "ModernBert": _MODERN
    | {
        MASKED: _MODERN[SEQUENCE]._replace(head_type="masked_lm", modules=("head.dense", "decoder"))
    },
    "Esm": {SEQUENCE: _TANH, TOKEN: _TAGGING, MASKED: _LM_HEAD},
    "NomicBert": {
        SEQUENCE: _POOLED[SEQUENCE],
        TOKEN: _TAGGING,
        MASKED: _CLS._replace(norms=("cls.predictions.transform.layer_norm",)),
    },
    "Bart": _BART,
    "MBart": _BART,
    "PLBart": {suffix: head for suffix, head in _BART.items() if suffix != QUESTION},
    "T5": _T5,
    "MT5": _T5,
    "GPT2": {SEQUENCE: _SCORE, **_PER_TOKEN, LM_HEAD_MODEL: _NEXT},
    "Llama": _LLAMA,
    "Mistral": _LLAMA,
    "Qwen2": _LLAMA,
    "Qwen3": _LLAMA,
}
"""Family to class name ending to head."""
