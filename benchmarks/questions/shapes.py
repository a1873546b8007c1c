"""MiniLM's and bert-base's shape: one static task, ours and its limit and peers.

    python -m benchmarks.questions.shapes [--rounds 5]

The second has random weights, made on first use: only its products count here.
"""

from __future__ import annotations

from benchmarks.questions.single_task import DTYPES, answered
from benchmarks.results import arguments, finish, machine_facts
from benchmarks.rows import MINILM, ORDINARY, bert_base, make_rows


def main() -> None:
    """Ask, print and write."""
    parser = arguments(__doc__, 5)
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=["float32", "bfloat16"])
    options, machine = parser.parse_args(), machine_facts()
    rows = make_rows(ORDINARY)
    cases = {"MiniLM": (MINILM, rows), "bert-base": (bert_base(), rows)}
    finish(answered("shapes", cases, options.rounds, options.dtypes), machine, options.output)


if __name__ == "__main__":
    main()
