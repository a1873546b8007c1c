"""Tags of a software package: AdapterHub parallel bottleneck, several labels for each row."""

from __future__ import annotations

import random
import re
from typing import Any

import torch
from adapters import ParBnConfig
from torch import Tensor

from examples.training.backbone import load_model, load_tokenizer
from examples.training.cards import ADAPTERS, Card
from examples.training.fitting import SEED, Example, fit, predict, split, start
from examples.training.sources import debian_packages

TASK = "package-tags"
NUM_TRAINED, NUM_HELD = 7000, 1500
LABELS = (
    "devel::library",
    "field::mathematics",
    "implemented-in::perl",
    "implemented-in::python",
    "interface::commandline",
    "interface::graphical",
    "made-of::font",
    "network::server",
    "role::app-data",
    "role::devel-lib",
    "role::documentation",
    "role::plugin",
    "role::program",
    "role::shared-lib",
    "use::gameplaying",
    "works-with::audio",
    "works-with::image",
    "works-with::text",
)


def expand(field: str) -> set[str]:
    """The tags of a `Tag` field, `facet::{a,b}` written out."""
    tags = set()
    for tag in re.findall(r"[^\s,{]+(?:\{[^}]*\})?", field):
        facet, _, inner = tag.rstrip("}").partition("{")
        tags |= {facet + item for item in inner.split(",")}
    return tags


def read_rows() -> list[tuple[str, str, list[float]]]:
    """Source package, `name: short description`, and 1.0 or 0.0 for each label."""
    rows = []
    for record in re.split(r"\n\n+", debian_packages()):
        fields = dict(re.findall(r"^([A-Z][\w-]*): (.*(?:\n .*)*)", record, re.MULTILINE))
        if "Tag" in fields:
            tags = expand(fields["Tag"])
            text = f"{fields['Package']}: {fields['Description'].splitlines()[0]}"
            source = fields.get("Source", fields["Package"]).split()[0]
            rows.append((source, text, [float(label in tags) for label in LABELS]))
    return rows


def micro_f1(answers: Tensor, truths: Tensor) -> float:
    """F1 over all decisions together. Shape: `[rows, labels]` each."""
    both = float((answers * truths).sum())
    return 2 * both / float(answers.sum() + truths.sum())


def measure(model: Any, held: list[Example]) -> tuple[float, float]:
    """Micro F1 at probability 0.5, and of the best set of tags given to every row."""
    truths = torch.tensor([example.targets["labels"] for example in held])
    answers = torch.stack([logits for (logits,) in predict(model, held)]) > 0
    ranks = truths.mean(0).argsort(descending=True).argsort()
    constant = [(ranks < size).float().expand_as(truths) for size in range(1, len(LABELS))]
    return micro_f1(answers.float(), truths), max(micro_f1(tags, truths) for tags in constant)


def start_from_frequencies(model: Any, train: list[Example]) -> None:
    """Set the head's bias to each tag's log-odds.

    From zero, all tags being rare, the adapter learns one large shift for every text and stays
    there.
    """
    shares = torch.tensor([example.targets["labels"] for example in train]).mean(0)
    model.heads[TASK][-1].bias.data = torch.logit(shares, eps=1e-3)


def card(rows: tuple[int, int], value: float, baseline: float) -> Card:
    """The card, with what was measured."""
    return Card(
        task=TASK,
        summary="Which of eighteen Debian tags fit a package, from `name: short description`. "
        "Several may, or none.",
        method="AdapterHub `par_bn` (parallel bottleneck, reduction 16, scale 1), multi-label head",
        data="`apt-cache dumpavail` of Debian 12: packages with debtags, whole source packages "
        "held out",
        licence="package metadata, as free as each package; no text is kept here",
        rows=rows,
        metric="Micro F1 at 0.5",
        value=value,
        baseline_name="The same, best constant set of tags",
        baseline=baseline,
        poor_at="The rarer tags. Volunteers tag by hand and leave much out, so a missing tag in "
        "the data says little and the adapter is too shy. It leans on the name (lib…, …-doc).",
    )


def main() -> None:
    """Train, save, measure."""
    start()
    tokenizer, rows = load_tokenizer(), read_rows()
    examples = [
        Example.of(tokenizer(text, truncation=True, max_length=64), labels=labels)
        for _, text, labels in rows
    ]
    train, held = split(examples, [source for source, _, _ in rows], held_out=0.1)
    shuffler = random.Random(SEED)
    train, held = shuffler.sample(train, NUM_TRAINED), shuffler.sample(held, NUM_HELD)
    model = load_model()
    model.add_adapter(TASK, config=ParBnConfig(reduction_factor=16, scaling=1.0))
    model.add_classification_head(
        TASK, num_labels=len(LABELS), multilabel=True, id2label=dict(enumerate(LABELS))
    )
    model.train_adapter(TASK)
    start_from_frequencies(model, train)
    fit(model, train, epochs=2, learning_rate=1e-3)
    model.save_adapter(str(ADAPTERS / TASK), TASK, use_safetensors=True)
    value, baseline = measure(model, held)
    card((len(train), len(held)), value, baseline).write()


if __name__ == "__main__":
    main()
