"""The support table of the documentation, made from the goldens that the tests run.

`python -m tests.goldens.support` writes `docs/support.md`; a test holds the two equal, and every
case that is counted is a test of its own, so the table cannot claim what is not proved.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from adapter_runtime.types import Adapter
from tests.goldens import replay
from tests.goldens.models import MODELS
from tests.methods import golden

TARGET = Path(__file__).parents[2] / "docs" / "support.md"
HEADS = Path(__file__).parent / "heads" / "cases.json"

_INTRODUCTION = """# What is proved

Every number counts goldens: checkpoints that `adapters` 1.3.0 or PEFT 0.21.2 saved on a tiny
backbone of that architecture, whose raw answers we give within 2e-5 of the library's. All of
them run on the fast path and on the reference path, alone and mixed in one batch. Heads are those
of `adapters`, of Hugging Face's task classes and of PEFT, together.

`python -m tests.goldens.support` makes this page from the cases that the tests run. What stands
nowhere for an architecture is not proved there: `polyhead check` says whether it is refused.
"""

ALONE, WRITTEN = "no adapter", "saved by Polyhead, run by `adapters`"
METHODS: Mapping[str, Sequence[str]] = {
    "bottleneck": ("bottleneck",),
    "Compacter": ("compacter",),
    "invertible language adapter": ("invertible", "invertible adapter"),
    "LoRA": ("lora",),
    "DoRA": ("dora",),
    "VeRA": ("vera", "dvora"),
    "MTL-LoRA": ("mtl_lora",),
    "(IA)³": ("ia3",),
    "prefix tuning": (
        "prefix tuning",
        "prefix_tuning",
        "prefix tuning, flat",
        "prefix tuning, gated",
    ),
    "prompt tuning": ("prompt tuning", "prompt_tuning"),
    "ReFT": ("reft", "loreft", "noreft", "direft"),
    "union (MAM, UniPELT …)": ("union",),
    "files of older versions": ("legacy",),
    WRITTEN: ("written",),
    "PEFT LoRA": ("PEFT LoRA", "PEFT lora"),
    "PEFT LoRA on embeddings": ("PEFT embedding LoRA",),
    "PEFT DoRA": ("PEFT DoRA", "PEFT dora"),
    "PEFT VeRA": ("PEFT VeRA", "PEFT vera"),
    "PEFT AdaLoRA": ("AdaLoRA", "PEFT adalora"),
    "PEFT LoHa": ("LoHa",),
    "PEFT LoKr": ("LoKr",),
    "PEFT (IA)³": ("PEFT (IA)³", "PEFT ia3"),
    "PEFT prefix tuning": ("PEFT prefix tuning", "PEFT prefix_tuning"),
    "PEFT prompt tuning": ("PEFT prompt tuning", "PEFT prompt_tuning"),
    "PEFT P-tuning": ("PEFT P-tuning", "PEFT p_tuning"),
    "PEFT LayerNorm tuning": ("LayerNorm tuning", "PEFT ln_tuning"),
    "PEFT biases": ("PEFT bias",),
    "PEFT modules_to_save": ("modules_to_save",),
    "PEFT trainable tokens": ("trainable tokens",),
    "Stack": ("Stack", "stack"),
    "AdapterFusion": ("AdapterFusion",),
    "Average": ("Average",),
    "Merge (averaged weights)": ("weight merging",),
    "Parallel": ("Parallel",),
    "BatchSplit": ("BatchSplit",),
    ALONE: ("",),
}
"""The rows of the page, in order, and the words of the sets' cases that each stands for."""

HEAD_TYPES: Mapping[str, Sequence[str]] = {
    "hidden states": ("",),
    "classification": ("classification",),
    "multi-label": ("multilabel_classification",),
    "tagging": ("tagging",),
    "question answering": ("question_answering",),
    "multiple choice": ("multiple_choice",),
    "masked LM": ("masked_lm",),
    "causal LM": ("causal_lm",),
    "seq2seq LM": ("seq2seq_lm",),
    "dependency parsing": ("dependency_parsing",),
}
"""The columns, likewise."""

_ROWS = {word: row for row, words in METHODS.items() for word in words}
_COLUMNS = {word: column for column, words in HEAD_TYPES.items() for word in words}
_BY_FILES = {"ia3_input": "ia3", "bias": "bias"}
"""Methods that stand for a whole file where they are among several."""


class Proof(NamedTuple):
    """One golden: what it proves; method and head are a row and a column of the page."""

    architecture: str
    method: str
    head: str


def proofs() -> Iterator[Proof]:
    """What every golden of the test suite proves."""
    for case in replay.all_cases():
        method, head = case.entry["method"] or "", case.entry["head"] or ""
        model_type = MODELS[case.backbone].model_type
        yield Proof(model_type, _ROWS[method], _COLUMNS[head.removeprefix("static ")])
    for model_type, name in golden.ALL:
        found = golden.adapters(model_type, name)
        row = _row(found[0], name) if len(found) == 1 else "Stack"
        yield Proof(model_type, row, _COLUMNS[""])
    for entry in json.loads(HEADS.read_text("utf-8")).values():
        yield Proof(entry["model_type"], ALONE, _COLUMNS[entry["head_type"]])


def _row(adapter: Adapter, name: str) -> str:
    if name.startswith("legacy"):
        return _ROWS["legacy"]
    special = next((_BY_FILES[each] for each in adapter.methods if each in _BY_FILES), None)
    is_union = len(adapter.methods) > 1 and special is None
    word = "union" if is_union else special or adapter.methods[0]
    return _ROWS[word if adapter.format == "adapterhub" else f"PEFT {word}"]


def page() -> str:
    """The whole page: all architectures side by side, then each by method and head."""
    counts = Counter(proofs())
    architectures = sorted({proof.architecture for proof in counts})
    by_method, by_head = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for proof, count in counts.items():
        by_method[proof.method, proof.architecture] += count
        by_head[proof.head, proof.architecture] += count
    sections = [
        ("Methods and compositions", _table(tuple(METHODS), architectures, by_method)),
        ("Heads", _table(tuple(HEAD_TYPES), architectures, by_head)),
    ]
    for name in architectures:
        mine = Counter(
            {(each.method, each.head): counts[each] for each in counts if each.architecture == name}
        )
        sections.append((name, _table(tuple(METHODS), tuple(HEAD_TYPES), mine)))
    return "\n".join([_INTRODUCTION, *(f"## {title}\n\n{table}" for title, table in sections)])


def _table(
    rows: Sequence[str], columns: Sequence[str], counts: Mapping[tuple[str, str], int]
) -> str:
    """Rows and columns that have a number, in the order given."""
    used = [column for column in columns if any(counts.get((row, column)) for row in rows)]
    lines = [f"| | {' | '.join(used)} |", f"|---|{'---:|' * len(used)}"]
    for row in rows:
        cells = [str(counts.get((row, column)) or "") for column in used]
        if any(cells):
            lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
