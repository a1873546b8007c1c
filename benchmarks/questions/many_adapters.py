"""Rows of 2 to 128 different adapters in one batch: what the adapters cost, and what peers take.

    python -m benchmarks.questions.many_adapters [--rounds 9] [--tasks 2 8 32 128]

Over the bare packed backbone, and against every way that PEFT and the `adapters` library have:
`adapter_names` in one padded batch and in four length buckets, BatchSplit, and switching the active
adapter before each row. The backbone's final states are computed, without heads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.contenders.driver import THREADS, Contender, Times, gaps, take_turns
from benchmarks.results import Result, Target, arguments, finish, machine_facts, spread
from benchmarks.results import median_ratio as ratio
from benchmarks.rows import MINILM, ordinary_rows

LORA = {"method": "lora", "size": 8}
BOTTLENECK = {"method": "bottleneck", "size": 24}  # a sixteenth of the width
NUM_TASKS = 32
MOST_OVER_BARE = 1.06
OVER_PEERS = {"float32": 2.3, "bfloat16": 4.0}
FLOAT32_GAP = 1e-3


def ours(dtype: str) -> list[Contender]:
    """Without adapters, with LoRA and with bottlenecks."""
    bare = Contender(f"ours bare {dtype}", "ours", {"dtype": dtype, "tasks": None})
    return [
        bare,
        Contender(f"ours lora {dtype}", "ours", {"dtype": dtype, **LORA}),
        Contender(f"ours bottleneck {dtype}", "ours", {"dtype": dtype, **BOTTLENECK}),
    ]


def peers(dtype: str) -> list[Contender]:
    """Every way of the other libraries to run rows of different LoRA adapters."""
    job = {"dtype": dtype, **LORA}
    return [
        Contender(f"peft bucketed {dtype}", "peft", job | {"buckets": 4}),
        Contender(f"peft padded {dtype}", "peft", job | {"buckets": 1}),
        Contender(f"adapters split {dtype}", "adapters", job | {"way": "split"}, "adapters"),
        Contender(f"adapters switched {dtype}", "adapters", job | {"way": "switched"}, "adapters"),
    ]


def bottleneck_peers() -> list[Contender]:
    """The same with bottlenecks, which only the `adapters` library has."""
    job = {"dtype": "float32", **BOTTLENECK}
    return [
        Contender(f"adapters bottleneck {way}", "adapters", job | {"way": way}, "adapters")
        for way in ("split", "switched")
    ]


def ask(count: int, contenders: Sequence[Contender], rounds: int) -> Times:
    """All contenders by turns on rows of `count` tasks.

    Raises:
        SystemExit: two of float32 do not compute the same.
    """
    rows = ordinary_rows(max(NUM_TASKS, count))
    tasks = [row % count for row in range(len(rows))]
    job = {"model": str(MINILM), "rows": rows, "tasks": tasks, "threads": THREADS}
    times = take_turns(contenders, job, rounds)
    for reference in ("ours lora float32", "ours bottleneck float32"):
        method = reference.split()[1]
        alike = {
            name: gap
            for name, gap in gaps(times, reference).items()
            if is_of(name, method) and gap > FLOAT32_GAP
        }
        if alike:
            raise SystemExit(f"They do not compute the same states as {reference}: {alike}")
    return times


def is_of(name: str, method: str) -> bool:
    """Whether a contender computes exactly what another of the method does."""
    if "bare" in name or "bfloat16" in name or "int8" in name:
        return False
    return ("bottleneck" in name) == (method == "bottleneck")


def over_bare(times: Times, dtypes: Sequence[str]) -> dict[str, float]:
    """What adapters cost."""
    return {
        f"{method} over bare, {dtype}": ratio(taken, times.seconds[f"ours bare {dtype}"])
        for dtype in dtypes
        for method in ("lora", "bottleneck")
        if (taken := times.seconds.get(f"ours {method} {dtype}"))
    }


def best_peer(times: Times, dtype: str, ours: str) -> tuple[str, float] | None:
    """The peer of a dtype that comes nearest to ours, and its time over ours."""
    names = [name for name in times.seconds if name.split()[0] in ("peft", "adapters")]
    found = {
        name: ratio(times.seconds[name], times.seconds[ours])
        for name in names
        if name.endswith(dtype)
    }
    return min(found.items(), key=lambda each: each[1]) if found else None


def targets(times: Times, dtypes: Sequence[str]) -> list[Target]:
    """What was to be reached with 32 tasks."""
    found = [
        Target(f"32 {name}", MOST_OVER_BARE, value, is_most=True)
        for name, value in over_bare(times, dtypes).items()
        if "int8" not in name
    ]
    for dtype, least in OVER_PEERS.items():
        for peers_dtype in dict.fromkeys((dtype, "float32")):
            best = best_peer(times, peers_dtype, f"ours lora {dtype}")
            if best is not None:
                measure = f"32 tasks in {dtype} against the best way at {peers_dtype} ({best[0]})"
                found.append(Target(measure, least, best[1]))
    return found


def main() -> None:
    """Ask, print and write."""
    parser = arguments(__doc__, 9)
    parser.add_argument("--tasks", type=int, nargs="+", default=[2, 8, 32, 128])
    options, machine = parser.parse_args(), machine_facts()
    shown: dict[str, Mapping[str, Any]] = {}
    ratios, told, missing = {}, [], {}
    for count in options.tasks:
        dtypes = ("float32", "bfloat16", "int8") if count == NUM_TASKS else ("float32", "bfloat16")
        contenders = [each for dtype in dtypes for each in ours(dtype)]
        if count == NUM_TASKS:
            contenders += [*peers("float32"), *peers("bfloat16"), *bottleneck_peers()]
        times = ask(count, contenders, options.rounds)
        for name, taken in times.seconds.items():
            shown[f"{count} tasks: {name}"] = spread([1e3 * each for each in taken])
        ratios |= {f"{count} {name}": value for name, value in over_bare(times, dtypes).items()}
        if count == NUM_TASKS:
            told = targets(times, dtypes)
        missing |= dict(times.could_not_run)
    note = f"At least 32 rows of ordinary lengths; rank 8, bottleneck 24; {THREADS} threads."
    result = Result("many_adapters", options.rounds, shown, ratios, told, missing, (note,))
    finish(result, machine, options.output)


if __name__ == "__main__":
    main()
