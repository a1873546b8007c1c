"""What each dtype costs in accuracy: the demo tasks' held-out rows through the engine.

    python -m benchmarks.questions.accuracy [--rows 1000] [--dtypes float32 bfloat16 int8]

The rows are those that the training scripts held out, judged by the metrics that the tasks' cards
quote; they are fetched and split once, in the environment of the `adapters` library, into
`.venv-bench-data`. Beside each metric stands the share of answers that differ from float32's: word
pieces for `pos`, whole answers for the others. `embed` has no right answers: its vectors are held
against float32's by their cosine.
"""

from __future__ import annotations

import json
import random
import re
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from adapter_runtime import PolyheadError, WorkItem
from benchmarks.accuracy_scores import METRICS, changed_share, cosine, value
from benchmarks.engine_alone import opened_tasks
from benchmarks.results import Result, arguments, finish, machine_facts
from serving.opening import Opened

ROOT = Path(__file__).parents[2]
DATA, DEMO = ROOT / ".venv-bench-data", ROOT / "examples"
PYTHON = ROOT / ".venv-bench-adapters" / "bin" / "python"
REFERENCE, EMBED = "float32", "embed"
_BATCH_ROWS = 32
NOTES = (
    "`card` is what the task's card quotes over all of its held-out rows, with the library that "
    "made it; `qa` is cut into words and windows by the server's own rules here.",
    "`changed_share` is the share of decisions that differ from float32's; they fall on both sides "
    "of the truth.",
)
Answers = dict[str, list[Any]]


def read_rows(data: Path, most: int) -> dict[str, list[dict[str, Any]]]:
    """Up to so many held-out rows of each task, drawn with a fixed seed; the task's files alone."""
    found = {}
    for task in METRICS:
        path = data / f"{task}.jsonl"
        if path.exists():
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            found[task] = random.Random(0).sample(rows, most) if len(rows) > most else rows
    if "sentiment" in found:
        found[EMBED] = [{"inputs": row["inputs"], "truth": None} for row in found["sentiment"]]
    return found


def fetch_rows(data: Path) -> dict[str, str]:
    """Write the rows that are not there yet; tasks that have none, and why."""
    if all((data / f"{task}.jsonl").exists() for task in METRICS):
        return {}
    if not PYTHON.exists():
        remedy = "run `python -m benchmarks.contenders.environments adapters` first"
        return {"held-out data": f"the training environment is not there; {remedy}"}
    command = [str(PYTHON), "-m", "benchmarks.accuracy_data", "--output", str(data)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    told = json.loads(done.stdout)
    return {task: reason for task, reason in told.items() if isinstance(reason, str)}


@contextmanager
def opened_demo(dtype: str) -> Iterator[Opened]:
    """The demo's tasks on an engine with that dtype, for the block.

    Their examples, which are held to float32's answers at admission, are left out: how far another
    dtype is from them is what is asked here.

    Raises:
        PolyheadError: this build or machine does not have the dtype.
    """
    given = yaml.safe_load((DEMO / "tasks.yaml").read_text())
    for entry in given["tasks"]:
        entry.pop("examples", None)
        if "adapter" in entry:
            entry["adapter"] = str(DEMO / entry["adapter"])
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "tasks.yaml"
        path.write_text(yaml.safe_dump(given))
        with opened_tasks(str(path), dtype) as opened:
            yield opened


def ask(opened: Opened, task: str, inputs: Sequence[Any]) -> list[Any]:
    """The answers to all inputs, in batches of rows of like length."""
    engine, version = opened.engine, opened.at_once.resolve(task)
    encoded = [engine.encode(version, each, {}) for each in inputs]
    order = sorted(range(len(encoded)), key=lambda at: len(encoded[at].rows[0].input_ids))
    answers: dict[int, Any] = {}
    for begin in range(0, len(order), _BATCH_ROWS):
        chosen = order[begin : begin + _BATCH_ROWS]
        items = [WorkItem(version, row) for at in chosen for row in encoded[at].rows]
        outcomes = iter(engine.run(items).outcomes)
        for at in chosen:
            own = [next(outcomes) for _ in encoded[at].rows]
            answers[at] = engine.decode(version, encoded[at], own)  # type: ignore[arg-type]
    return [answers[at] for at in range(len(encoded))]


def judged(
    task: str, rows: Sequence[dict[str, Any]], answers: Sequence[Any], reference: Sequence[Any]
) -> dict[str, float]:
    """A task's value with a dtype, and how its answers differ from float32's."""
    if task == EMBED:
        near = [cosine(one, other) for one, other in zip(answers, reference, strict=True)]
        return {"value": statistics.fmean(near), "least_cosine": min(near)}
    metric = METRICS[task]
    found = value(metric, answers, [row["truth"] for row in rows])
    return {"value": found, "changed_share": changed_share(metric, answers, reference)}


def card_value(task: str) -> float:
    """The metric that the task's card quotes, over all of its held-out rows."""
    card = ROOT / "examples" / "adapters" / task / "README.md"
    return float(re.search(r"held out \| \*\*([\d.]+)\*\*", card.read_text())[1])  # type: ignore[index]


def measure(
    rows: Mapping[str, Sequence[dict[str, Any]]], dtypes: Sequence[str]
) -> tuple[dict[str, Answers], dict[str, str]]:
    """The answers of each dtype, and why there are none."""
    found: dict[str, Answers] = {}
    missing: dict[str, str] = {}
    for dtype in dtypes:
        try:
            with opened_demo(dtype) as opened:
                found[dtype] = {
                    task: ask(opened, task, [row["inputs"] for row in given])
                    for task, given in rows.items()
                }
        except PolyheadError as error:
            missing[dtype] = str(error)
    return found, missing


def result(
    rows: Mapping[str, Sequence[dict[str, Any]]],
    found: Mapping[str, Answers],
    could_not_run: Mapping[str, str],
) -> Result:
    """Values and changes of every task and dtype, and the largest change of each dtype."""
    contenders: dict[str, dict[str, Any]] = {}
    changes: dict[str, list[float]] = {dtype: [] for dtype in found if dtype != REFERENCE}
    for task, given in rows.items():
        figures = {
            dtype: judged(task, given, answers[task], found[REFERENCE][task])
            for dtype, answers in found.items()
        }
        contenders[task] = told(task, len(given), figures)
        if task != EMBED:
            for dtype, seen in changes.items():
                seen.append(figures[dtype]["value"] - figures[REFERENCE]["value"])
    ratios = {
        f"largest change of a metric: {dtype}": max(seen, key=abs)
        for dtype, seen in changes.items()
        if seen
    }
    return Result("accuracy", 1, contenders, ratios, could_not_run=could_not_run, notes=NOTES)


def told(task: str, num_rows: int, figures: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """One task's line."""
    name = "mean cosine with float32" if task == EMBED else METRICS[task].name
    line: dict[str, Any] = {"metric": name, "rows": num_rows}
    if task != EMBED:
        line["card"] = card_value(task)
    for dtype, found in figures.items():
        line[dtype] = found["value"]
    for dtype, found in figures.items():
        if dtype != REFERENCE:
            key = "least_cosine" if task == EMBED else "changed_share"
            line[f"{key} {dtype}"] = found[key]
    return line


def main() -> None:
    """Measure, print and write."""
    parser = arguments(__doc__, rounds=1)
    parser.add_argument("--rows", type=int, default=1000, help="at most, of each task")
    parser.add_argument("--dtypes", nargs="+", default=[REFERENCE, "bfloat16", "int8"])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the held-out rows")
    options = parser.parse_args()
    machine = machine_facts()
    absent = fetch_rows(options.data)
    rows = read_rows(options.data, options.rows)
    found, missing = measure(rows, list(dict.fromkeys([REFERENCE, *options.dtypes])))
    finish(result(rows, found, absent | missing), machine, options.output)


if __name__ == "__main__":
    main()
