"""What a spoken command wants: PEFT (IA)³ on the seven SNIPS intents."""

from __future__ import annotations

import json

from peft import IA3Config, TaskType, get_peft_model
from transformers import AutoModelForSequenceClassification

from examples.training.backbone import load_model, load_tokenizer
from examples.training.cards import ADAPTERS, Card
from examples.training.fitting import Example, accuracy, fit, split, start
from examples.training.sources import member, python_archive

TASK = "intent"
LABELS = (
    "add_to_playlist",
    "book_restaurant",
    "get_weather",
    "play_music",
    "search_screening_event",
    "search_creative_work",
    "rate_book",
)


def read_rows() -> list[tuple[str, int]]:
    """Each utterance with its intent."""
    archive = python_archive("bigbench", "1.0.0")
    rows = json.loads(member(archive, "intent_recognition/task.json"))["examples"]
    return [
        (row["input"].removeprefix("Utterance: "), LABELS.index(max(scores, key=scores.get)))
        for row in rows
        for scores in [row["target_scores"]]
    ]


def card(rows: tuple[int, int], value: float, baseline: float) -> Card:
    """The card, with what was measured."""
    return Card(
        task=TASK,
        summary=f"Which of seven things a spoken command wants: {', '.join(LABELS)}.",
        method="PEFT (IA)³ on keys, values and both output layers, saved classifier",
        data="`bigbench` 1.0.0 source archive, intent_recognition (SNIPS utterances)",
        licence="CC0 1.0 (SNIPS), Apache-2.0 (BIG-bench); no text is kept here",
        rows=rows,
        metric="Accuracy",
        value=value,
        baseline=baseline,
        poor_at="Anything else than these seven wants: there is no *none of them*. Few rows, so "
        "rare wordings are guessed from single words (*play*, *book*, *rate*). It has seen "
        "BIG-bench data: never score it there.",
    )


def main() -> None:
    """Train, save, measure."""
    start()
    tokenizer, rows = load_tokenizer(), read_rows()
    examples = [
        Example.of(tokenizer(text, truncation=True, max_length=64), labels=label)
        for text, label in rows
    ]
    train, held = split(examples, [text for text, _ in rows], held_out=0.25)
    base = load_model(AutoModelForSequenceClassification, num_labels=len(LABELS))
    config = IA3Config(
        task_type=TaskType.SEQ_CLS,
        target_modules=["key", "value", "output.dense"],
        feedforward_modules=["output.dense"],
    )
    model = get_peft_model(base, config)
    fit(model, train, epochs=20, learning_rate=1e-2, batch_rows=16)
    model.save_pretrained(str(ADAPTERS / TASK), save_embedding_layers=False)
    value, baseline = accuracy(model, held)
    card((len(train), len(held)), value, baseline).write()


if __name__ == "__main__":
    main()
