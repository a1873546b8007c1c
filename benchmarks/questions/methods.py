"""Every adapter method: 32 rows of 32 different adapters over the bare packed backbone.

    python -m benchmarks.questions.methods [--rounds 7] [--only loreft dora]

Freshly initialised adapters in the library's named configurations, and eight of them mixed in one
batch. A prompt makes every row ten tokens longer, which is work and no overhead.
"""

from __future__ import annotations

from benchmarks.contenders.driver import THREADS, Contender, take_turns
from benchmarks.results import Result, arguments, finish, machine_facts, spread
from benchmarks.results import median_ratio as ratio
from benchmarks.rows import MINILM, ORDINARY, make_rows

METHODS = (
    "pfeiffer", "houlsby", "parallel", "scaled_parallel", "pfeiffer+inv", "compacter", "lora",
    "dora", "vera", "ia3", "prefix_tuning_flat", "prompt_tuning", "loreft", "noreft", "mam",
    "unipelt",
)  # fmt: skip
MIXED = (
    "pfeiffer", "lora", "ia3", "prefix_tuning_flat", "loreft", "dora", "houlsby", "parallel",
)  # fmt: skip


def main() -> None:
    """Ask, print and write."""
    parser = arguments(__doc__, 7)
    parser.add_argument("--only", nargs="+", choices=METHODS, default=METHODS, metavar="METHOD")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    options, machine = parser.parse_args(), machine_facts()
    shown, ratios, missing = {}, {}, {}
    rows = make_rows(ORDINARY)
    job = {"model": str(MINILM), "rows": rows, "tasks": list(range(len(rows)))}
    for dtype in options.dtypes:
        contenders = [
            Contender("bare", "ours", {"tasks": None}),
            *(Contender(name, "ours", {"method": name}) for name in options.only),
            Contender("eight mixed", "ours", {"method": MIXED}),
        ]
        given = job | {"threads": THREADS, "dtype": dtype}
        times = take_turns(contenders, given, options.rounds)
        for name, taken in times.seconds.items():
            shown[f"{dtype}: {name}"] = spread([1e3 * each for each in taken])
            if name != "bare":
                ratios[f"{dtype}: {name} over bare"] = ratio(taken, times.seconds["bare"])
        missing |= {f"{dtype}: {name}": why for name, why in times.could_not_run.items()}
    note = "Widths and ranks are the configurations' own: reduction factor 16, rank 8, 30 prefixes."
    finish(Result("methods", options.rounds, shown, ratios, (), missing, (note,)), machine,
           options.output)  # fmt: skip


if __name__ == "__main__":
    main()
