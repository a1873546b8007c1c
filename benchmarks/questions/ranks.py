"""LoRA of ranks 8 to 64: 32 rows of 32 different adapters over the bare packed backbone.

python -m benchmarks.questions.ranks [--rounds 9]
"""

from __future__ import annotations

from benchmarks.contenders.driver import THREADS, Contender, take_turns
from benchmarks.results import Result, arguments, finish, machine_facts, spread
from benchmarks.results import median_ratio as ratio
from benchmarks.rows import MINILM, ORDINARY, make_rows

RANKS = (8, 16, 32, 64)


def main() -> None:
    """Ask, print and write."""
    options, machine = arguments(__doc__, 9).parse_args(), machine_facts()
    shown, ratios, missing = {}, {}, {}
    rows = make_rows(ORDINARY)
    for dtype in ("float32", "bfloat16"):
        contenders = [Contender("bare", "ours", {"tasks": None})] + [
            Contender(f"rank {rank}", "ours", {"method": "lora", "size": rank}) for rank in RANKS
        ]
        job = {"model": str(MINILM), "rows": rows, "tasks": list(range(len(rows)))}
        times = take_turns(contenders, job | {"threads": THREADS, "dtype": dtype}, options.rounds)
        for name, taken in times.seconds.items():
            shown[f"{dtype}: {name}"] = spread([1e3 * each for each in taken])
            if name != "bare":
                ratios[f"{dtype}: {name} over bare"] = ratio(taken, times.seconds["bare"])
        missing |= dict(times.could_not_run)
    result = Result("ranks", options.rounds, shown, ratios, (), missing)
    finish(result, machine, options.output)


if __name__ == "__main__":
    main()
