"""Batches of 1 to 256 rows of ordinary lengths: one static task, ours and its limit and peers.

python -m benchmarks.questions.batch_sizes [--rounds 9] [--sizes 1 8 64 256]
"""

from __future__ import annotations

from benchmarks.questions.single_task import DTYPES, answered
from benchmarks.results import arguments, finish, machine_facts
from benchmarks.rows import MINILM, ordinary_rows


def main() -> None:
    """Ask, print and write."""
    parser = arguments(__doc__, 9)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 4, 16, 64, 256])
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=["bfloat16"])
    options, machine = parser.parse_args(), machine_facts()
    cases = {f"{size} rows": (MINILM, ordinary_rows(size)) for size in options.sizes}
    finish(answered("batch_sizes", cases, options.rounds, options.dtypes), machine, options.output)


if __name__ == "__main__":
    main()
