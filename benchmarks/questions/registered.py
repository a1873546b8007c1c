"""From 5 to 1,000 tasks on the device, and batches of 32 rows whose tasks are drawn by Zipf's law.

    python -m benchmarks.questions.registered [--rounds 15] [--tasks 5 32 100 1000]

The engine alone, rank-8 LoRA, without heads. A batch has 32 different tasks, or all where there are
fewer, and every round draws others. The bare backbone runs beside them.
"""

from __future__ import annotations

import random

from benchmarks.contenders.driver import THREADS, Contender, take_turns
from benchmarks.results import Result, Target, arguments, finish, machine_facts, spread
from benchmarks.results import median_ratio as ratio
from benchmarks.rows import MINILM, ORDINARY, make_rows

NUM_DRAWS = 16
MOST = 1 / 0.97


def drawn(num_tasks: int, num_rows: int, seed: int) -> list[int]:
    """A task for each row, no two alike as long as there are others; those of low number often."""
    chance = random.Random(seed)
    left = {task: 1 / (task + 1) for task in range(num_tasks)}
    found: list[int] = []
    while left and len(found) < num_rows:
        (task,) = chance.choices(list(left), list(left.values()))
        found.append(task)
        del left[task]
    return [found[row % len(found)] for row in range(num_rows)]


def contender(num_tasks: int, num_rows: int) -> Contender:
    """Our engine with so many tasks on the device."""
    draws = [drawn(num_tasks, num_rows, seed) for seed in range(NUM_DRAWS)]
    job = {"method": "lora", "size": 8, "registered": num_tasks, "draws": draws}
    return Contender(f"{num_tasks} tasks", "ours", job)


def main() -> None:
    """Ask, print and write."""
    parser = arguments(__doc__, 15)
    parser.add_argument("--tasks", type=int, nargs="+", default=[5, 32, 100, 1000])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    options, machine = parser.parse_args(), machine_facts()
    rows = make_rows(ORDINARY)
    shown, ratios, told, missing = {}, {}, [], {}
    few, many = f"{min(options.tasks)} tasks", f"{max(options.tasks)} tasks"
    for dtype in options.dtypes:
        contenders = [Contender("bare", "ours")]
        contenders += [contender(number, len(rows)) for number in options.tasks]
        job = {"model": str(MINILM), "rows": rows, "threads": THREADS, "dtype": dtype}
        times = take_turns(contenders, job, options.rounds)
        for name, taken in times.seconds.items():
            shown[f"{dtype}: {name}"] = spread([1e3 * each for each in taken])
            for below in ("bare", few):
                if below in times.seconds and name not in ("bare", below):
                    ratios[f"{dtype}: {name} over {below}"] = ratio(taken, times.seconds[below])
        if (found := ratios.get(f"{dtype}: {many} over {few}")) is not None:
            told.append(Target(f"{many} over {few}, {dtype}", MOST, found, is_most=True))
        missing |= {f"{dtype}: {name}": why for name, why in times.could_not_run.items()}
    note = f"{len(rows)} rows of ordinary lengths; all tasks' adapters are on the device."
    result = Result("registered", options.rounds, shown, ratios, told, missing, (note,))
    finish(result, machine, options.output)


if __name__ == "__main__":
    main()
