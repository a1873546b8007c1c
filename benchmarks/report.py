"""The report: every question's result as Markdown with charts.

    python -m benchmarks.report [--results DIR] [--output benchmarks/report.md]

Reads the JSON files that the questions wrote. Questions without one are named as not measured, so
that a part of the suite gives a report too. Charts are written beside, into `charts/`. Why a figure
is as it is stands in `report_notes.yaml`, by question.
"""

from __future__ import annotations

import argparse
import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.report_charts import chart_of
from benchmarks.results import RESULTS, Result, from_json, reached, shown, verdict

HERE = Path(__file__).parent
QUESTIONS, NOTES = HERE / "questions", HERE / "report_notes.yaml"
ORDER = (
    "single_task",
    "many_adapters",
    "registered",
    "ranks",
    "methods",
    "lengths",
    "batch_sizes",
    "shapes",
    "http_share",
    "http_infinity",
    "at_rest",
    "registered_http",
    "fairness",
    "analyze",
    "resident_bytes",
    "accuracy",
    "busy",
    "cold_start",
)
"""Those that are not here follow by name."""
_OF_A_RUN = frozenset({"load_before", "load_after", "measured", "code"})


def known_questions(folder: Path = QUESTIONS) -> dict[str, str]:
    """Every question there is, in the report's order, and the first sentence about it."""
    found = {}
    for path in folder.glob("*.py"):
        told = ast.get_docstring(ast.parse(path.read_text()))
        if told and "python -m benchmarks.questions" in told:
            found[path.stem] = told.split("\n\n")[0].replace("\n", " ")
    return {name: found[name] for name in sorted(found, key=place)}


def place(question: str) -> tuple[int, str]:
    """Where a question stands in the report."""
    return (ORDER.index(question) if question in ORDER else len(ORDER), question)


def read_results(folder: Path) -> dict[str, Result]:
    """All results of a folder, in the report's order."""
    found = [from_json(json.loads(path.read_text())) for path in folder.glob("*.json")]
    return {each.question: each for each in sorted(found, key=lambda one: place(one.question))}


def report(
    results: Mapping[str, Result],
    questions: Mapping[str, str],
    notes: Mapping[str, Sequence[str]],
    charts: Mapping[str, str],
) -> str:
    """The whole page.

    Args:
        questions: all there are, with a sentence about each.
        notes: why figures are as they are, by question.
        charts: the path of each question's chart, where it has one.
    """
    parts = ["# What was measured", "", *opening(results), *targets(results)]
    for name, each in results.items():
        parts += section(each, questions.get(name, ""), notes.get(name, ()), charts.get(name))
    return "\n".join([*parts, *left_out(results, questions)]).rstrip() + "\n"


def opening(results: Mapping[str, Result]) -> Iterator[str]:
    """How it was measured, and on what."""
    yield (
        "Written by `python -m benchmarks.report` from what `python -m benchmarks.questions.NAME` "
        "found; `make bench` runs all of it. All contenders of a question take turns in one run, "
        "so that a busy neighbour slows all alike; figures are medians over rounds, a ratio is "
        "that of two figures of the same round. Ratios are what to keep."
    )
    yield ""
    machines = {
        json.dumps(machine(each), sort_keys=True): machine(each) for each in results.values()
    }
    if len(machines) > 1:
        yield "**These results come from more than one machine; compare within a question only.**"
        yield ""
    for facts in machines.values():
        yield "| machine | |"
        yield "|---|---|"
        yield from (f"| {name} | {value} |" for name, value in facts.items())
        yield ""


def machine(result: Result) -> dict[str, str]:
    """What of a machine does not change from question to question, and the versions."""
    known = {name: value for name, value in result.machine.items() if name not in _OF_A_RUN}
    told = {
        name: ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in known.items()
        if value is not None
    }
    versions = ", ".join(f"{name} {number}" for name, number in result.versions.items())
    return told | {"versions": versions}


def targets(results: Mapping[str, Result]) -> Iterator[str]:
    """What was to be reached."""
    rows = [(name, target) for name, each in results.items() for target in each.targets]
    if not rows:
        return
    held = sum(target.held for _, target in rows)
    yield "## What was to be reached"
    yield ""
    yield f"{held} of {len(rows)} are held."
    yield ""
    yield "| question | measure | got (bound) | |"
    yield "|---|---|---|---|"
    for name, target in rows:
        told = verdict(target) if target.held else f"**{verdict(target)}**"
        yield f"| [{name}](#{name}) | {target.measure} | {reached(target)} | {told} |"
    yield ""


def section(
    result: Result, sentence: str, notes: Sequence[str], chart: str | None
) -> Iterator[str]:
    """One question."""
    yield f"## {result.question}"
    yield ""
    yield f"{sentence} `python -m benchmarks.questions.{result.question}`, {rounds(result)}."
    yield ""
    if chart:
        yield f"![{result.question}]({chart})"
        yield ""
    yield from table(result.contenders)
    if result.ratios:
        yield "| ratio | |"
        yield "|---|---|"
        yield from (f"| {name} | {value:.3f} |" for name, value in result.ratios.items())
        yield ""
    yield from (f"- {note}" for note in (*result.notes, *notes))
    yield from (f"- Could not run: {name}: {why}" for name, why in result.could_not_run.items())
    yield ""


def rounds(result: Result) -> str:
    """How often, when, on which code, and beside what else."""
    told = ["one round" if result.rounds == 1 else f"{result.rounds} rounds"]
    when, code = result.machine.get("measured"), result.machine.get("code")
    told += [str(when)] * (when is not None) + [f"commit {code}"] * (code is not None)
    loads = [result.machine.get(f"load_{when}") for when in ("before", "after")]
    if None not in loads:
        told.append(f"load average {loads[0]} before, {loads[1]} after")
    return "; ".join(told)


def table(contenders: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """One row a contender, one column a figure."""
    names = list(dict.fromkeys(name for figures in contenders.values() for name in figures))
    if not names:
        return
    yield "| | " + " | ".join(name.replace("_", " ") for name in names) + " |"
    yield "|---|" + "---|" * len(names)
    for contender, figures in contenders.items():
        cells = [shown(figures[name]) if name in figures else "" for name in names]
        yield f"| {contender} | " + " | ".join(cells) + " |"
    yield ""


def left_out(results: Mapping[str, Result], questions: Mapping[str, str]) -> Iterator[str]:
    """What was not measured, and what could not be."""
    yield "## What was not run"
    yield ""
    if not any(each.machine.get("cuda") for each in results.values()):
        yield (
            "- CUDA: no device on this machine. The same commands take one where there is one; "
            "tests marked `gpu` are skipped without it."
        )
    for name in questions:
        if name not in results:
            yield f"- {name}: not measured here; `python -m benchmarks.questions.{name}`."
    for name, each in results.items():
        yield from (f"- {name}, {what}: {why}" for what, why in each.could_not_run.items())


def write_charts(results: Mapping[str, Result], folder: Path) -> dict[str, str]:
    """Write each question's chart; their paths from the folder's parent."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, each in results.items():
        if chart := chart_of(each):
            (folder / f"{name}.svg").write_text(chart)
            found[name] = f"{folder.name}/{name}.svg"
    return found


def main() -> None:
    """Read, write, and say what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--output", type=Path, default=HERE / "report.md")
    options = parser.parse_args()
    results, questions = read_results(options.results), known_questions()
    notes = yaml.safe_load(NOTES.read_text()) or {}
    charts = write_charts(results, options.output.parent / "charts")
    options.output.write_text(report(results, questions, notes, charts))
    missing = [name for name in questions if name not in results]
    print(f"Written to {options.output}; not measured: {', '.join(missing) or 'nothing'}.")


if __name__ == "__main__":
    main()
