"""Sentiment of one sentence: AdapterHub Pfeiffer bottleneck on rated review sentences."""

from __future__ import annotations

import io
import tarfile

from adapters import SeqBnConfig

from examples.training.backbone import load_model, load_tokenizer
from examples.training.cards import ADAPTERS, Card
from examples.training.fitting import Example, accuracy, fit, split, start
from examples.training.sources import member, python_archive

TASK = "sentiment"
LABELS = ("negative", "positive")
CLEAR_VALENCE = 0.5


def read_rows() -> list[tuple[str, int]]:
    """Sentences of film and product reviews whose mean valence (−4 to 4) is clear, with class."""
    archive = member(python_archive("vaderSentiment", "3.3.2"), "hutto_ICWSM_2014.tar.gz")
    rows = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for name in ("movieReviewSnippets_GroundTruth.txt", "amazonReviewSnippets_GroundTruth.txt"):
            path = next(path for path in tar.getnames() if path.endswith("/" + name))
            content = tar.extractfile(path)
            lines = content.read().decode("utf-8", "replace").splitlines() if content else []
            for line in lines:
                _, valence, text = line.split("\t", 2)
                if abs(float(valence)) >= CLEAR_VALENCE:
                    rows[text.strip()] = int(float(valence) > 0)
    return list(rows.items())


def card(rows: tuple[int, int], value: float, baseline: float) -> Card:
    """The card, with what was measured."""
    return Card(
        task=TASK,
        summary="Whether one sentence of a review is positive or negative.",
        method="AdapterHub `seq_bn` (Pfeiffer), two-layer classification head",
        data="`vaderSentiment` 3.3.2 source archive, hutto_ICWSM_2014: film and product review "
        f"sentences whose mean human valence is at least {CLEAR_VALENCE} from neutral",
        licence="MIT",
        rows=rows,
        metric="Accuracy",
        value=value,
        baseline=baseline,
        poor_at="Neutral text: it knows only two answers. Irony, and praise of one thing that "
        "blames another. Anything longer than a sentence or two.",
    )


def main() -> None:
    """Train, save, measure."""
    start()
    tokenizer, rows = load_tokenizer(), read_rows()
    examples = [
        Example.of(tokenizer(text, truncation=True, max_length=64), labels=label)
        for text, label in rows
    ]
    train, held = split(examples, [text for text, _ in rows], held_out=0.15)
    model = load_model()
    model.add_adapter(TASK, config=SeqBnConfig())
    model.add_classification_head(TASK, num_labels=2, id2label=dict(enumerate(LABELS)))
    model.train_adapter(TASK)
    fit(model, train, epochs=1, learning_rate=1e-3)
    model.save_adapter(str(ADAPTERS / TASK), TASK, use_safetensors=True)
    value, baseline = accuracy(model, held)
    card((len(train), len(held)), value, baseline).write()


if __name__ == "__main__":
    main()
