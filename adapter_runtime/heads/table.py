"""All head kinds by head type, the name that checkpoints give them."""

from __future__ import annotations

from collections.abc import Mapping

from adapter_runtime.heads.base import HeadKind
from adapter_runtime.heads.classification import ClassificationHead
from adapter_runtime.heads.dependency_parsing import ParsingHead
from adapter_runtime.heads.embedding import EmbeddingHead
from adapter_runtime.heads.fill_mask import FillMaskHead
from adapter_runtime.heads.multiple_choice import MultipleChoiceHead
from adapter_runtime.heads.question_answering import QuestionAnsweringHead
from adapter_runtime.heads.tagging import TaggingHead
from adapter_runtime.heads.text_generation import GenerationHead
from adapter_runtime.heads.text_ranking import RankingHead
from adapter_runtime.heads.zero_shot import ZeroShotHead
from adapter_runtime.types import Overflow

HEADS: Mapping[str, HeadKind] = {
    "classification": ClassificationHead(),
    "multilabel_classification": ClassificationHead(is_multilabel=True),
    "tagging": TaggingHead(),
    "question_answering": QuestionAnsweringHead(),
    "multiple_choice": MultipleChoiceHead(),
    "masked_lm": FillMaskHead(),
    "causal_lm": GenerationHead(),
    # What it is told to do stands at the start of a text as a rule, so it is given no tail.
    "seq2seq_lm": GenerationHead(
        is_seq2seq=True, overflows=(Overflow.TRUNCATE, Overflow.REJECT), aggregations=()
    ),
    "dependency_parsing": ParsingHead(),
    "embedding": EmbeddingHead(),
    "zero_shot_classification": ZeroShotHead(),
    "text_ranking": RankingHead(),
}
