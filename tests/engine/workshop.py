"""A tiny backbone with a tokenizer, and adapters and heads of every kind on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from adapter_runtime import EngineConfig, Kind, Leaf, TaskSpec, TaskVersion, WorkItem, open_engine
from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.checkpoint.heads.reading import embedding_head, new_head, write_head
from adapter_runtime.checkpoint.hub.writer import new_adapter, write_adapter
from adapter_runtime.engine.engine import LocalEngine
from adapter_runtime.engine.versions import make_version
from adapter_runtime.types import Adapter, HeadWeights, Site
from tests.backbone.tiny import saved
from tests.engine_forward.adapters import Maker, union

WORDS = tuple(
    "the a cat dog sat on mat and saw big red house who what where is in it was very".split(" ")  # noqa: SIM905 - one word a line would hide the sentence
)
TEXT = "the cat sat"
LABELS = ["no", "yes"]
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
HEADS = {
    "classification": {"num_labels": 3, "layers": 2, "use_pooler": True},
    "multilabel_classification": {"num_labels": 4, "layers": 1},
    "tagging": {"num_labels": 5, "layers": 1},
    "question_answering": {"num_labels": 2, "layers": 1},
    "multiple_choice": {"num_choices": 2, "layers": 2},
}
INPUTS = {
    Kind.TEXT_CLASSIFICATION: ("the cat sat", {"text": "a dog", "text_pair": "saw the red house"}),
    Kind.TOKEN_CLASSIFICATION: ("the big dog sat on a mat", "it"),
    Kind.QUESTION_ANSWERING: (
        {"question": "who sat", "context": "the cat sat on the mat and a dog saw it"},
    ),
    Kind.MULTIPLE_CHOICE: ({"context": "what is it", "choices": ["a cat", "the red house", "it"]},),
    Kind.FEATURE_EXTRACTION: ("where was the cat", "in"),
}


def write_backbone(model_type: str, folder: Path) -> Path:
    """A tiny saved model with a word-level vocabulary."""
    source, _ = saved(model_type)
    for file in source.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    words = [*SPECIAL, *WORDS]
    if model_type == "mpnet":
        words = ["<s>", "<pad>", "</s>", "[UNK]", *WORDS, "<mask>"]
    fill = [f"filler{number}" for number in range(99 - len(words))]
    (folder / "vocab.txt").write_text("\n".join([*words, *fill]) + "\n")
    return folder


def write_task(
    folder: Path, facts: BackboneFacts, random: torch.Generator, config: str = "lora"
) -> Path:
    """A folder with an adapter and a classification head of the folder's name."""
    folder.mkdir(exist_ok=True)
    write_adapter(new_adapter(folder.name, config, facts, random), folder, facts)
    settings = {"num_labels": 2, "layers": 1, "bias": True}
    head = new_head(folder.name, "classification", settings, LABELS, facts, random)
    write_head(head, folder, facts, folder.name)
    return folder


def answer(engine: LocalEngine, version: TaskVersion, text: str = TEXT) -> Any:
    """A task's answer to a text; errors are raised."""
    encoded = engine.encode(version, text, {})
    outcomes: list[Any] = []
    for outcome in engine.run([WorkItem(version, row) for row in encoded.rows]).outcomes:
        if isinstance(outcome, Exception):
            raise outcome
        outcomes.append(outcome)
    return engine.decode(version, encoded, outcomes)


class Workshop:
    """An engine with adapters of every method and heads of every kind."""

    def __init__(self, model_type: str, folder: Path, config: EngineConfig | None = None) -> None:
        source = str(write_backbone(model_type, folder))
        self.engine: LocalEngine = open_engine(source, config or EngineConfig(streams=2))
        self.facts = self.engine.backbone.facts
        self.maker = Maker(self.facts)
        self._random = torch.Generator().manual_seed(1)

    def adapters(self) -> Mapping[str, Adapter]:
        """One adapter for each method, and a union of several."""
        make = self.maker
        found = [
            make.lora("lora", Site.QUERY, Site.VALUE),
            make.lora("gated-lora", Site.VALUE, gated=True),
            make.bottleneck("pfeiffer", Site.FFN, original_ln_before=True),
            make.bottleneck("gated", Site.ATTENTION, Site.FFN, use_gating=True),
            make.input_scale("ia3-input", Site.FFN_OUT),
            make.output_scale("ia3", Site.KEY, Site.VALUE),
            make.output_scale("gated-ia3", Site.FFN_IN, gated=True),
            make.bias("bias", Site.QUERY, Site.ATTENTION_NORM),
            union(
                "union", make.bottleneck("", Site.FFN, is_parallel=True), make.lora("", Site.KEY)
            ),
        ]
        return {adapter.name: adapter for adapter in found}

    def heads(self) -> list[HeadWeights]:
        """One head for each head type, the embedding head included."""
        heads = [embedding_head(None, {})]
        for head_type, settings in HEADS.items():
            if settings.get("use_pooler") and not self.facts.has_pooler:
                settings = {**settings, "use_pooler": False}
            full = {"activation_function": "tanh", "bias": True, **settings}
            heads.append(new_head(head_type, head_type, full, None, self.facts, self._random))
        return heads

    def version(self, name: str, adapter: Adapter | None, head: HeadWeights) -> TaskVersion:
        """A version of an adapter with a head, both kept in the library."""
        library = self.engine.library
        if adapter is not None:
            library.add(adapter)
        library.add(head)
        tree = None if adapter is None else Leaf(adapter.digest)
        return make_version(TaskSpec(name), tree, head, self.engine.backbone)

    def items(self, version: TaskVersion, *, raw: bool = False) -> list[WorkItem]:
        """Rows of every example input of the version's kind."""
        encoded = [self.engine.encode(version, example, {}) for example in INPUTS[version.kind]]
        return [WorkItem(version, row, raw=raw) for one in encoded for row in one.rows]
