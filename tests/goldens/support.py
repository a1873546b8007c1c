"""The support table of the documentation, made from the goldens that the tests run.

`python -m tests.goldens.support` writes `docs/support.md`; a test holds the two equal, and every
case that is counted is a test of its own, so the table cannot claim what is not proved.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.goldens import replay
from tests.goldens.models import MODELS
from tests.methods import golden

TARGET = Path(__file__).parents[2] / "docs" / "support.md"
HEADS = Path(__file__).parent / "heads" / "cases.json"
HIDDEN, ALONE = "hidden states", "no adapter"

_INTRODUCTION = """# What is proved

Every number counts goldens: checkpoints that `adapters` 1.3.0 or PEFT 0.21.2 saved on a tiny
backbone of that architecture, whose raw answers we give within 2e-5 of the library's. All of
them run on the fast path and on the reference path, alone and mixed in one batch.
`python -m tests.goldens.support` makes this page from the cases that the tests run. A method or
head that stands nowhere for an architecture is not proved there: `polyhead check` says whether it
is refused.
"""


class Proof(NamedTuple):
    """One golden: what it proves."""

    architecture: str
    method: str
    head: str


def proofs() -> Iterator[Proof]:
    """What every golden of the test suite proves."""
    for case in replay.all_cases():
        entry = case.entry
        yield Proof(
            MODELS[case.backbone].model_type, entry["method"] or ALONE, entry["head"] or HIDDEN
        )
    for model_type, name in golden.ALL:
        found = [adapter.methods for adapter in golden.adapters(model_type, name)]
        words = " then ".join(" with ".join(methods) or "nothing" for methods in found)
        yield Proof(model_type, f"stack: {words}" if len(found) > 1 else words, HIDDEN)
    for entry in json.loads(HEADS.read_text("utf-8")).values():
        yield Proof(entry["model_type"], ALONE, entry["head_type"])


def page() -> str:
    """The whole page."""
    counts = Counter(proofs())
    architectures = sorted({proof.architecture for proof in counts})
    return "\n".join([_INTRODUCTION, *(_section(name, counts) for name in architectures)])


def _section(architecture: str, counts: Counter[Proof]) -> str:
    mine = [proof for proof in counts if proof.architecture == architecture]
    heads = sorted({proof.head for proof in mine}, key=lambda head: (head != HIDDEN, head))
    methods = sorted({proof.method for proof in mine}, key=lambda name: (name != ALONE, name))
    lines = [
        f"## {architecture}",
        "",
        f"| | {' | '.join(heads)} |",
        f"|---|{'---:|' * len(heads)}",
    ]
    for method in methods:
        cells = (str(counts[Proof(architecture, method, head)] or "") for head in heads)
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
