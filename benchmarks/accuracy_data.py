"""The demo tasks' held-out rows, split exactly as the scripts in `examples/training` split them.

    .venv-bench-adapters/bin/python -m benchmarks.accuracy_data --output .venv-bench-data

Runs where the training scripts run, for they import the libraries that they train with. Downloads
and rows stay in the output folder, outside version control: no text of the data is kept here.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from examples.training import (
    claims,
    intent,
    package_tags,
    pos,
    qa,
    sentiment,
    social,
    sources,
    spam,
)
from examples.training.backbone import load_tokenizer
from examples.training.fitting import SEED, split
from examples.training.squad import encode, read_questions

Row = dict[str, Any]
"""`{"inputs", "truth"}`: what a server is asked, and what a metric compares the answer with."""


def sentiment_rows() -> list[Row]:
    """Sentences and their label."""
    rows = sentiment.read_rows()
    held = split(rows, [text for text, _ in rows], held_out=0.15)[1]
    return [{"inputs": text, "truth": sentiment.LABELS[label]} for text, label in held]


def spam_rows() -> list[Row]:
    """Mails and their label."""
    rows = list(spam.read_rows().items())
    held = split(rows, [text.split("\n")[0] for text, _ in rows], held_out=0.2)[1]
    return [{"inputs": text, "truth": ("ham", "spam")[label]} for text, label in held]


def intent_rows() -> list[Row]:
    """Commands and what they want."""
    rows = intent.read_rows()
    held = split(rows, [text for text, _ in rows], held_out=0.25)[1]
    return [{"inputs": text, "truth": intent.LABELS[label]} for text, label in held]


def social_rows() -> list[Row]:
    """Situations with three answers each, and the place of the right one."""
    rows = [row for row in social.read_rows() if len(row["target_scores"]) == 3]
    held = split(rows, [row["input"] for row in rows], held_out=0.2)[1]
    return [social_row(row["input"].strip(), row["target_scores"]) for row in held]


def social_row(context: str, scores: dict[str, int]) -> Row:
    """One of them."""
    choices = list(scores)
    right = choices.index(max(choices, key=lambda choice: scores[choice]))
    return {"inputs": {"context": context, "choices": choices}, "truth": right}


def claims_rows() -> list[Row]:
    """Claims with evidence and the verdict; the sampling of training goes first, as it did."""
    shuffler, names = random.Random(SEED), list(claims.LABELS.values())
    kept, held = split(*claims.read_rows(), held_out=0.1)
    shuffler.sample(kept, claims.NUM_TRAINED)
    return [
        {"inputs": {"text": claim, "text_pair": evidence}, "truth": names[label]}
        for claim, evidence, label in shuffler.sample(held, claims.NUM_HELD)
    ]


def package_rows() -> list[Row]:
    """Packages and their tags; the sampling of training goes first, as it did."""
    shuffler, rows = random.Random(SEED), package_tags.read_rows()
    kept, held = split(rows, [source for source, _, _ in rows], held_out=0.1)
    shuffler.sample(kept, package_tags.NUM_TRAINED)
    return [
        {
            "inputs": text,
            "truth": [
                name for name, given in zip(package_tags.LABELS, labels, strict=True) if given
            ],
        }
        for _, text, labels in shuffler.sample(held, package_tags.NUM_HELD)
    ]


def pos_rows() -> list[Row]:
    """Sentences as running text, and where each word ends with its class."""
    shuffler, sentences = random.Random(SEED), pos.read_sentences()
    kept, held = split(sentences, [name for name, _ in sentences], held_out=0.1)
    shuffler.sample(kept, pos.NUM_TRAINED)
    return [tagged(words) for _, words in shuffler.sample(held, pos.NUM_HELD)]


def tagged(words: Sequence[tuple[str, int]]) -> Row:
    """One sentence, joined as in training."""
    text, truth = "", []
    for word, label in words:
        is_glued = word in {".", ",", ";", ":", "?", "!", ")"} or text.endswith("(") or not text
        text += word if is_glued else " " + word
        truth.append((len(text), pos.LABELS[label]))
    return {"inputs": text, "truth": truth}


def qa_rows() -> list[Row]:
    """Questions whose answer lies within the tokens that training looked at."""
    shuffler, questions = random.Random(SEED), read_questions()
    held = split(questions, [question.title for question in questions], held_out=0.1)[1]
    tokenizer = load_tokenizer()
    return [
        {
            "inputs": {"question": question.text, "context": question.context},
            "truth": question.answers,
        }
        for question in shuffler.sample(held, qa.NUM_HELD)
        if encode(tokenizer, question)
    ]


READERS: dict[str, Callable[[], list[Row]]] = {
    "sentiment": sentiment_rows,
    "spam": spam_rows,
    "pos": pos_rows,
    "qa": qa_rows,
    "intent": intent_rows,
    "package-tags": package_rows,
    "claims": claims_rows,
    "social": social_rows,
}


def write_rows(folder: Path) -> Iterator[tuple[str, int | str]]:
    """Write each task's rows as JSON Lines; tells how many, or why there are none."""
    sources.DATA = folder / "downloads"
    sources.DATA.mkdir(parents=True, exist_ok=True)
    for task, read in READERS.items():
        path = folder / f"{task}.jsonl"
        if not path.exists():
            try:
                rows = read()
            except Exception as error:  # one source that cannot be had leaves the others
                yield task, f"{type(error).__name__}: {error}"
                continue
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        yield task, path.read_text().count("\n")


def main() -> None:
    """Write them all and print how many, or the reason, as one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path(".venv-bench-data"))
    found: dict[str, int | str] = {}
    began_s = time.perf_counter()
    for task, told in write_rows(parser.parse_args().output):
        found[task] = told
        print(f"{task}: {told} ({time.perf_counter() - began_s:.0f} s)", file=sys.stderr)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
