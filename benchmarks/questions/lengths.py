"""Short, ordinary, long and skewed row lengths: one static task, ours and its limit and peers.

python -m benchmarks.questions.lengths [--rounds 9] [--dtypes float32 bfloat16]
"""

from __future__ import annotations

from benchmarks.questions.single_task import DTYPES, answered
from benchmarks.results import arguments, finish, machine_facts
from benchmarks.rows import MINILM, SHAPES, make_rows


def main() -> None:
    """Ask, print and write."""
    parser = arguments(__doc__, 9)
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=["float32", "bfloat16"])
    options, machine = parser.parse_args(), machine_facts()
    cases = {name: (MINILM, make_rows(lengths)) for name, lengths in SHAPES.items()}
    finish(answered("lengths", cases, options.rounds, options.dtypes), machine, options.output)


if __name__ == "__main__":
    main()
