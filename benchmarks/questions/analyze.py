"""One text, eight tasks: `/v1/analyze` against separate requests, and what a batch of it costs.

    python -m benchmarks.questions.analyze [--dtypes float32 bfloat16] [--connections 1 8]

Sets of eight tasks differ in where their adapters begin. `engine`: one batch of all eight on one
text, over eight rows of eight texts as long, on one core; beside it the share of the layers' work
that is left when equal rows run as one, which is what it comes to without overhead. `http`: texts a
second, each analysed by all eight tasks, over the texts a second of separate requests.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from safetensors.torch import load_file, save_file

from adapter_runtime import Row, TaskVersion, WorkItem
from benchmarks.engine_alone import opened_tasks
from benchmarks.http_load import load, text
from benchmarks.results import Result, arguments, finish, machine_facts
from benchmarks.server import BACKBONE, serving
from benchmarks.variants import write_variant
from serving.opening import Opened
from serving.planning.inputs import WORDS

NUM_LAYERS, NUM_TASKS, NUM_TEXTS, NUM_TOKENS = 6, 8, 16, 24
Begin = tuple[int | None, int]
"""A task's adapter, or None, and the first layer at which it acts."""
SETS: Mapping[str, Sequence[Begin]] = {
    "heads alone": [(None, NUM_LAYERS)] * NUM_TASKS,
    "heads over one adapter": [(0, 0)] * NUM_TASKS,
    "adapters on the last layer": [(number, 5) for number in range(NUM_TASKS)],
    "adapters from layer 3 on": [(number, 3) for number in range(NUM_TASKS)],
    "adapters from layer 1 on": [(number, 1) for number in range(NUM_TASKS)],
    "some of each": [(None, 6), (None, 6), (0, 0), (0, 0), (1, 0), (2, 3), (3, 3), (4, 5)],
    "adapters on all layers": [(number, 0) for number in range(NUM_TASKS)],
}
NOTES = (
    "`layer_work_left` is tokens times layers that are computed, over those that the tasks ask for "
    "one by one; a batch's other costs (heads, attention's setup, Python) are not in it.",
    "Over HTTP client and server share the cores. The eight separate requests of a text are under "
    "way side by side, so that they share what they can where they happen to meet in a batch.",
)


def layer_work_left(tasks: Sequence[Begin]) -> float:
    """The share of tokens times layers that is left when rows of one text run as one."""
    begins = sorted(begin for _, begin in set(tasks))
    # Whoever begins last carries the others up to where they begin.
    left = NUM_LAYERS + sum(NUM_LAYERS - begin for begin in begins[:-1])
    return left / (NUM_LAYERS * len(tasks))


def write_adapter(folder: Path, number: int, begin: int) -> Path:
    """A made-up adapter with a head; it leaves out the layers before the one where it begins."""
    write_variant(folder, number)
    config, weights = folder / "adapter_config.json", folder / "adapter.safetensors"
    told = json.loads(config.read_text())
    told["config"]["leave_out"] = list(range(begin))
    config.write_text(json.dumps(told))
    names = tuple(f".layer.{layer}." for layer in range(begin))
    kept = {
        name: value
        for name, value in load_file(weights).items()
        if not any(left_out in name for left_out in names)
    }
    save_file(kept, weights)
    return folder


def write_tasks(place: Path) -> Path:
    """A task file with the tasks of all sets; each has a head of its own."""
    entries = []
    for number, tasks in enumerate(SETS.values()):
        for task, (adapter, begin) in enumerate(tasks):
            head = write_variant(place / f"head-{task}", 100 + task)
            entry = {"name": name_of(number, task), "head": str(head), "adapter": None}
            if adapter is not None:
                folder = place / f"adapter-{adapter}-{begin}"
                entry["adapter"] = str(write_adapter(folder, adapter, begin))
            entries.append(entry)
    file = place / "tasks.yaml"
    file.write_text(yaml.safe_dump({"backbone": BACKBONE, "tasks": entries}))
    return file


def name_of(number: int, task: int) -> str:
    """A task by its set's number and its own."""
    return f"set{number}-{task}"


def texts() -> list[str]:
    """Texts of ordinary length."""
    chance = random.Random(11)
    return [text(chance) for _ in range(NUM_TEXTS)]


def rows_of(opened: Opened) -> list[Row]:
    """Rows of as many tokens each, of different texts."""
    version, chance = opened.at_once.resolve(name_of(0, 0)), random.Random(5)
    given = [" ".join(chance.choices(WORDS, k=NUM_TOKENS)) for _ in range(NUM_TEXTS)]
    rows = [opened.engine.encode(version, each, {}).rows[0] for each in given]
    return [Row(row.input_ids[:NUM_TOKENS]) for row in rows]


def batch_ms(opened: Opened, versions: Sequence[TaskVersion], rows: Sequence[Row]) -> float:
    """Processor time of one batch on one core."""
    items = [WorkItem(version, row) for version, row in zip(versions, rows, strict=True)]
    began_s = time.process_time()
    outcomes = opened.engine.run(items, lanes=1).outcomes
    took_s = time.process_time() - began_s
    assert not any(isinstance(outcome, Exception) for outcome in outcomes), outcomes
    return 1000 * took_s


def ask_engine(opened: Opened, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Of each set and round a batch on one text, and one on a text of its own for each task."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in SETS}
    rows = rows_of(opened)
    for turn in range(-2, rounds):
        own = [rows[(turn + task) % NUM_TEXTS] for task in range(NUM_TASKS)]
        for number, name in enumerate(SETS):
            tasks = [name_of(number, task) for task in range(NUM_TASKS)]
            versions = [opened.at_once.resolve(task) for task in tasks]
            taken = batch_ms(opened, versions, own[:1] * NUM_TASKS)
            apart = batch_ms(opened, versions, own)
            if turn >= 0:  # the first ones warm up
                found[name].append((taken, apart))
    return found


def ask_server(url: str, count: int, seconds: float) -> dict[str, tuple[float, float]]:
    """Texts a second by one request each, and by eight."""
    found = {}
    given = texts()
    for number, name in enumerate(SETS):
        tasks = [name_of(number, task) for task in range(NUM_TASKS)]
        posts = [("/v1/analyze", {"inputs": each, "tasks": tasks}) for each in given]
        calls = [(task, each) for each in given for task in tasks]
        together = load(url, count, seconds, posts=posts)
        apart = load(url, count * NUM_TASKS, seconds, calls)
        assert not together["num_errors"] + apart["num_errors"], (together, apart)
        found[name] = together["requests_per_s"], apart["requests_per_s"] / NUM_TASKS
    return found


def measure(dtype: str, options: argparse.Namespace, place: Path) -> Result:
    """All sets in one dtype, as a result without a machine."""
    file, shown, ratios = write_tasks(place), {}, {}
    with opened_tasks(str(file), dtype) as opened:
        alone = ask_engine(opened, options.rounds)
    served: dict[int, list[dict[str, tuple[float, float]]]] = {}
    with serving(file, place / "state", dtype=dtype) as server:
        ask_server(server.url, 1, 0.3)
        for _ in range(options.http_rounds):
            for count in options.connections:
                seen = ask_server(server.url, count, options.seconds)
                served.setdefault(count, []).append(seen)
    for name, tasks in SETS.items():
        taken, apart = (statistics.median(side) for side in zip(*alone[name], strict=True))
        figures = {"layer_work_left": layer_work_left(tasks), "one_text_ms": taken}
        figures["eight_texts_ms"] = apart
        ratios[f"{dtype}, engine: {name}"] = statistics.median(
            one / all for one, all in alone[name]
        )
        for count, rounds in served.items():
            pairs = [each[name] for each in rounds]
            together, each = (statistics.median(side) for side in zip(*pairs, strict=True))
            figures[f"analyze_texts_per_s_{count}"] = together
            figures[f"separate_texts_per_s_{count}"] = each
            ratios[f"{dtype}, http, {count} at once: {name}"] = together / each
        shown[f"{dtype}: {name}"] = figures
    return Result("analyze", options.rounds, shown, ratios, notes=NOTES)


def main() -> None:
    """Ask, print and write."""
    parser = arguments(__doc__, rounds=15)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8], help="texts at once")
    parser.add_argument("--http-rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each load")
    options = parser.parse_args()
    machine, found = machine_facts(), []
    for dtype in options.dtypes:
        with tempfile.TemporaryDirectory() as place:
            found.append(measure(dtype, options, Path(place)))
    shown = {name: each for result in found for name, each in result.contenders.items()}
    ratios = {name: each for result in found for name, each in result.ratios.items()}
    result = Result("analyze", options.rounds, shown, ratios, notes=NOTES)
    finish(result, machine, options.output)


if __name__ == "__main__":
    main()
