"""The whole suite: peers' environments, every question one after the other, then the report.

    python -m benchmarks.suite [--quick] [--only NAME …] [--no-environments]

A question that fails does not stop the others; the report names it. `--quick` takes short rounds,
to see that all of it works: its figures say little, so they and their report go to
`benchmarks/results/quick/` and leave those that were measured alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.contenders.environments import names
from benchmarks.report import known_questions
from benchmarks.results import RESULTS

REPORT = Path(__file__).parent / "report.md"
QUICK: Mapping[str, Sequence[str]] = {
    "accuracy": ("--rows", "40"),
    "analyze": ("--rounds", "2", "--http-rounds", "1", "--seconds", "0.5"),
    "at_rest": ("--rounds", "15"),
    "busy": ("--rounds", "1", "--seconds", "1"),
    "cold_start": ("--rounds", "1", "--servers", "1", "--starts", "5", "--seconds", "1"),
    "fairness": ("--rounds", "1", "--seconds", "1"),
    "http_infinity": ("--rounds", "1", "--seconds", "1", "--connections", "16"),
    "http_share": ("--rounds", "1", "--seconds", "1"),
    "registered_http": (
        "--rounds",
        "2",
        "--seconds",
        "1",
        "--tasks",
        "50",
        "--rooms",
        "1024",
        "20",
    ),
    "resident_bytes": ("--last", "40"),
}
"""Options of short runs; a question that is not here takes two rounds."""


def ask(question: str, is_quick: bool, output: Path) -> int:
    """Run one question in a process of its own; its exit status."""
    command = [sys.executable, "-m", f"benchmarks.questions.{question}", "--output", str(output)]
    if is_quick:
        command += QUICK.get(question, ("--rounds", "2"))
    return subprocess.run(command).returncode


def places(output: Path | None, report: Path | None, *, is_quick: bool) -> tuple[Path, Path]:
    """The folder of the JSON files and the report, where they are not told."""
    folder = output or (RESULTS / "quick" if is_quick else RESULTS)
    return folder, report or (folder / REPORT.name if is_quick else REPORT)


def main() -> None:
    """Run all of it; 1 if a question failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=list(known_questions()), metavar="NAME")
    parser.add_argument("--no-environments", action="store_true", help="build none")
    parser.add_argument("--output", type=Path, help="folder of the JSON files")
    parser.add_argument("--report", type=Path, help="the Markdown file")
    options = parser.parse_args()
    output, report = places(options.output, options.report, is_quick=options.quick)
    if not options.no_environments:
        subprocess.run([sys.executable, "-m", "benchmarks.contenders.environments", *names()])
    chosen, failed = options.only or list(known_questions()), []
    for number, question in enumerate(chosen, 1):
        began_s = time.perf_counter()
        print(f"\n[{number}/{len(chosen)}] {question}", flush=True)
        if ask(question, options.quick, output):
            failed.append(question)
        print(f"{question} took {time.perf_counter() - began_s:.0f} s", flush=True)
    command = [sys.executable, "-m", "benchmarks.report", "--results", str(output)]
    subprocess.run([*command, "--output", str(report)], check=True)
    if failed:
        raise SystemExit(f"These questions failed: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
