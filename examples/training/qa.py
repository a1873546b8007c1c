"""Answer spans in a passage: PEFT LoRA on SQuAD-format questions about Wikipedia."""

from __future__ import annotations

import random
from statistics import fmean
from typing import Any

from peft import LoraConfig, TaskType, get_peft_model
from transformers import AutoModelForQuestionAnswering

from examples.training.backbone import load_model, load_tokenizer
from examples.training.cards import ADAPTERS, Card
from examples.training.fitting import SEED, Example, fit, predict, split, start
from examples.training.squad import (
    Question,
    best_span,
    crop,
    encode,
    overlap,
    read_questions,
)

TASK = "qa"
NUM_TRAINED, NUM_HELD = 7000, 600


def measure(model: Any, tokenizer: Any, held: list[Question]) -> tuple[float, float, float]:
    """F1 and exact match of the adapter, and F1 of answering with the whole passage."""
    encoded = [(question, encode(tokenizer, question)) for question in held]
    whole = [(question, *both) for question, both in encoded if both]
    logits = predict(model, [example for _, example, _ in whole])
    scores = []
    for (first, last), (question, _, spans) in zip(logits, whole, strict=True):
        begin, end = best_span(first, last, spans)
        naive, _ = overlap(question.context, question.answers)
        scores.append((*overlap(question.context[begin:end], question.answers), naive))
    f1, exact, baseline = (fmean(column) for column in zip(*scores, strict=True))
    return f1, exact, baseline


def card(rows: tuple[int, int], f1: float, exact: float, baseline: float) -> Card:
    """The card, with what was measured."""
    return Card(
        task=TASK,
        summary="The words of a passage that answer a question about it.",
        method="PEFT LoRA on every linear layer (r 8, alpha 16), saved span head",
        data="`bigbench` 1.0.0 source archive, squad_shifts: SQuAD 1.1 development questions and "
        "new Wikipedia questions; offsets checked, whole articles held out; trained on random "
        "stretches of the passages, measured on whole passages",
        licence="CC BY-SA 4.0 (SQuAD), CC BY 4.0 (SQuAD shifts); no text is kept here",
        rows=rows,
        metric="F1 over words",
        value=f1,
        baseline_name="The same, whole passage as answer",
        baseline=baseline,
        further=f"Exact match, held out: {exact:.3f}.",
        poor_at="Far fewer questions than such a model needs: passages with several answers of the "
        "same kind, reasoning over more than one sentence. It always answers, for it never saw "
        "a question without an answer. It has seen BIG-bench data: never score it there.",
    )


def main() -> None:
    """Train, save, measure."""
    start()
    tokenizer, shuffler = load_tokenizer(), random.Random(SEED)
    questions = read_questions()
    kept, held = split(questions, [question.title for question in questions], held_out=0.1)
    held = shuffler.sample(held, NUM_HELD)
    crops = [crop(question, shuffler) for question in shuffler.sample(kept, NUM_TRAINED)]
    train: list[Example] = [both[0] for both in (encode(tokenizer, q) for q in crops) if both]
    config = LoraConfig(
        task_type=TaskType.QUESTION_ANS,
        r=8,
        lora_alpha=16,
        target_modules=r".*\.(query|key|value|dense)",
    )
    model = get_peft_model(load_model(AutoModelForQuestionAnswering), config)
    fit(model, train, epochs=1, learning_rate=1e-3, batch_rows=16)
    model.save_pretrained(str(ADAPTERS / TASK), save_embedding_layers=False)
    f1, exact, baseline = measure(model, tokenizer, held)
    card((len(train), len(held)), f1, exact, baseline).write()


if __name__ == "__main__":
    main()
