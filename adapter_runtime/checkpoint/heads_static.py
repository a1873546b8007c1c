"""The prediction heads of Hugging Face task classes, as layer stacks.

One table serves two formats: files that `adapters` saved from a task class, and the classifiers
that PEFT saves beside an adapter.

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
    "DistilBert": "distilbert",
    "Electra": "electra",
    "MPNet": "mpnet",
}
"""Class name prefixes to `config.model_type`."""

FLEX_SUFFIXES = ("AdapterModel", "ModelWithHeads")
TASK_SUFFIXES: Mapping[str, str] = {
    "SEQ_CLS": "ForSequenceClassification",
    "TOKEN_CLS": "ForTokenClassification",
    "QUESTION_ANS": "ForQuestionAnswering",
}
"""PEFT task types to the task class that they are trained on."""


class StaticHead(NamedTuple):
    """A task class's head as a layer stack; `modules` hold its tensors, layer by layer."""

    head_type: str
    modules: tuple[str, ...]
    activation: str | None = None
    use_pooler: bool = False

    @property
    def settings(self) -> StackSettings:
        """The head's layer stack."""
        return StackSettings(len(self.modules), self.activation, self.use_pooler)


_CLASSIFIER, _DENSE = ("classifier",), ("classifier.dense", "classifier.out_proj")
_PRE = ("pre_classifier", "classifier")
_SUMMARY = ("sequence_summary.summary", "classifier")
_TAGGING = StaticHead("tagging", _CLASSIFIER)
_ANSWERING = StaticHead("question_answering", ("qa_outputs",))
_POOLED_CHOICE = StaticHead("multiple_choice", _CLASSIFIER, use_pooler=True)
_TANH = StaticHead("classification", _DENSE, "tanh")

_BY_FAMILY: Mapping[str, tuple[StaticHead, StaticHead]] = {
    "Bert": (StaticHead("classification", _CLASSIFIER, use_pooler=True), _POOLED_CHOICE),
    "Roberta": (_TANH, _POOLED_CHOICE),
    "XLMRoberta": (_TANH, _POOLED_CHOICE),
    "MPNet": (_TANH, _POOLED_CHOICE),
    "DistilBert": (
        StaticHead("classification", _PRE, "relu"),
        StaticHead("multiple_choice", _PRE, "relu"),
    ),
    "Electra": (
        StaticHead("classification", _DENSE, "gelu"),
        StaticHead("multiple_choice", _SUMMARY, "gelu"),
    ),
}

STATIC_HEADS: Mapping[str, StaticHead] = {
    f"{family}{suffix}": head
    for family, (classification, choice) in _BY_FAMILY.items()
    for suffix, head in (
        ("ForSequenceClassification", classification),
        ("ForMultipleChoice", choice),
        ("ForTokenClassification", _TAGGING),
        ("ForQuestionAnswering", _ANSWERING),
    )
}
"""Task classes to their heads."""

HEAD_MODULES = frozenset(
    module.split(".")[0] for head in STATIC_HEADS.values() for module in head.modules
)
"""First path segments under which task classes keep their heads."""


def family_of(model_type: str) -> str | None:
    """The class name prefix of a model type, None where no table row knows it."""
    return next((family for family, known in FAMILIES.items() if known == model_type), None)


def model_type_of(class_name: str) -> str | None:
    """The model type of a task class or a flexible model class, None for unknown classes."""
    suffixes = (*FLEX_SUFFIXES, "ForSequenceClassification", "ForMultipleChoice")
    for suffix in (*suffixes, "ForTokenClassification", "ForQuestionAnswering"):
        if class_name.endswith(suffix):
            return FAMILIES.get(class_name.removesuffix(suffix))
    return None
