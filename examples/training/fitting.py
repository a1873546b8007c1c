"""Training and prediction, alike for both libraries: frozen backbone, length-bucketed batches."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

SEED = 20
IGNORED = -100
Row = TypeVar("Row")
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True)
class Example:
    """One input as token sequences (several for multiple choice) and the answers to learn.

    `targets` maps a model argument to a class, a list of class per token, or a list of floats.
    """

    encodings: tuple[Mapping[str, list[int]], ...]
    targets: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, encoding: Mapping[str, list[int]], **targets: Any) -> Example:
        """One sequence, as the tokenizer encodes it, with its answers."""
        return cls(({key: encoding[key] for key in INPUTS},), targets)

    @property
    def num_tokens(self) -> int:
        """Tokens of the longest sequence."""
        return max(len(encoding["input_ids"]) for encoding in self.encodings)


def start() -> None:
    """Fix the seeds and use one thread, so that a run repeats and spares the machine."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)


def fit(
    model: Any,
    examples: Sequence[Example],
    *,
    epochs: int,
    learning_rate: float,
    batch_rows: int = 32,
) -> None:
    """Train what is not frozen with AdamW: 6 % warm-up, then a linear way to zero.

    Products run in bfloat16, weights and updates stay float32.
    """
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=learning_rate, weight_decay=0.01)
    total = epochs * -(-len(examples) // batch_rows)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (0.06 * total), (total - step) / total)
    )
    model.train()
    steps = (batch for epoch in range(epochs) for batch in _batches(examples, batch_rows, epoch))
    begin, losses = time.monotonic(), []
    for step, batch in enumerate(steps, 1):
        losses.append(_step(model, batch, weights, optimizer))
        schedule.step()
        if step % 25 == 0 or step == total:
            mean = sum(losses[-25:]) / len(losses[-25:])
            print(f"{step}/{total} loss {mean:.3f} {time.monotonic() - begin:.0f} s", flush=True)


def predict(model: Any, examples: Sequence[Example], batch_rows: int = 32) -> list[list[Tensor]]:
    """The logits of each example in float32, padding cut off: one tensor, or start and end."""
    model.eval()
    order = sorted(range(len(examples)), key=lambda index: examples[index].num_tokens)
    found: dict[int, list[Tensor]] = {}
    for begin in range(0, len(order), batch_rows):
        chosen = order[begin : begin + batch_rows]
        inputs = collate([Example(examples[index].encodings) for index in chosen])
        with torch.no_grad():
            output = model(**inputs)
        for row, index in enumerate(chosen):
            found[index] = _unpadded(output, row, examples[index].num_tokens)
    return [found[index] for index in range(len(examples))]


def collate(batch: Sequence[Example]) -> dict[str, Tensor]:
    """Pad to the longest sequence. Shape: `[rows, length]`, or `[rows, choices, length]`."""
    length = max(example.num_tokens for example in batch)
    inputs = {
        key: torch.tensor([[_pad(e[key], length, 0) for e in x.encodings] for x in batch])
        for key in INPUTS
    }
    if len(batch[0].encodings) == 1:
        inputs = {key: value.squeeze(1) for key, value in inputs.items()}
    for key in batch[0].targets:
        inputs[key] = torch.tensor([_target(x.targets[key], length) for x in batch])
    return inputs


def split(
    rows: Sequence[Row], groups: Sequence[str], held_out: float
) -> tuple[list[Row], list[Row]]:
    """Rows to train on and rows held out: whole groups, so that near copies stay on one side."""
    names = sorted(set(groups))
    random.Random(SEED).shuffle(names)
    chosen = set(names[: round(held_out * len(names))])
    pairs = list(zip(rows, groups, strict=True))
    kept = [row for row, group in pairs if group not in chosen]
    held = [row for row, group in pairs if group in chosen]
    return kept, held


def accuracy(model: Any, examples: Sequence[Example]) -> tuple[float, float]:
    """Accuracy of a classifier, and of always answering the commonest class."""
    truths = [example.targets["labels"] for example in examples]
    answers = [int(logits.argmax()) for (logits,) in predict(model, examples)]
    hits = sum(answer == truth for answer, truth in zip(answers, truths, strict=True))
    return hits / len(truths), max(map(truths.count, set(truths))) / len(truths)


def _step(model: Any, batch: Sequence[Example], weights: list[Any], optimizer: Any) -> float:
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(**collate(batch)).loss
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(weights, 1.0)
    optimizer.step()
    return float(loss.detach())


def _batches(examples: Sequence[Example], rows: int, epoch: int) -> Iterator[list[Example]]:
    shuffler = random.Random(SEED + epoch)
    order = shuffler.sample(list(examples), len(examples))
    buckets: list[list[Example]] = []
    for begin in range(0, len(order), 20 * rows):
        near = sorted(order[begin : begin + 20 * rows], key=lambda example: example.num_tokens)
        buckets += [near[index : index + rows] for index in range(0, len(near), rows)]
    shuffler.shuffle(buckets)
    return iter(buckets)


def _pad(values: list[int], length: int, filler: int) -> list[int]:
    return values + [filler] * (length - len(values))


def _target(value: Any, length: int) -> Any:
    is_per_token = isinstance(value, list) and isinstance(value[0], int)
    return _pad(value, length, IGNORED) if is_per_token else value


def _unpadded(output: Any, row: int, num_tokens: int) -> list[Tensor]:
    if "start_logits" in output:
        return [output.start_logits[row, :num_tokens], output.end_logits[row, :num_tokens]]
    is_tagging = output.logits.dim() == 3
    return [output.logits[row, :num_tokens] if is_tagging else output.logits[row]]
