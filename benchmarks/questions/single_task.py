"""One static task: our packed engine against ONNX Runtime and OpenVINO, at each dtype.

    python -m benchmarks.questions.single_task [--rounds 15]

That is the best case of a user without adapters. The peers run four length buckets; the machine's
limit, the backbone's matrix products alone, is measured beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.contenders.driver import THREADS, Contender, Times, gaps, take_turns
from benchmarks.results import Result, Target, arguments, finish, machine_facts, spread
from benchmarks.results import median_ratio as ratio
from benchmarks.rows import MINILM, ORDINARY, make_rows

DTYPES = ("float32", "bfloat16", "int8")
LIMITS = {"float32": 0.85, "bfloat16": 0.80}
OVER_PEERS = 1.3
FLOAT32_GAP = 1e-3


def contenders(dtypes: Sequence[str] = DTYPES) -> list[Contender]:
    """All of them at the dtypes; ONNX Runtime has no bfloat16 on CPU."""
    found = []
    for dtype in dtypes:
        job = {"dtype": dtype}
        found.append(Contender(f"products {dtype}", "products", job))
        found.append(Contender(f"ours {dtype}", "ours", job))
        for engine in ("onnxruntime", "openvino"):
            if (engine, dtype) != ("onnxruntime", "bfloat16"):
                name, given = f"{engine} {dtype}", job | {"engine": engine}
                found.append(Contender(name, "onnx", given, environment="onnx"))
    return found


def ask(model: Path, rows: list[list[int]], rounds: int, dtypes: Sequence[str] = DTYPES) -> Times:
    """All contenders by turns.

    Raises:
        SystemExit: two of float32 do not compute the same.
    """
    job = {"model": str(model), "rows": rows, "threads": THREADS, "buckets": min(4, len(rows))}
    times = take_turns(contenders(dtypes), job, rounds)
    found = gaps(times, "ours float32")
    if wrong := {
        name: gap for name, gap in found.items() if "float32" in name and gap > FLOAT32_GAP
    }:
        raise SystemExit(f"They do not compute the same states as ours: {wrong}")
    return times


def ratios(times: Times) -> dict[str, float]:
    """The share of the limit, and each peer's time over ours, at each dtype."""
    seconds, found = times.seconds, {}
    for dtype in DTYPES:
        ours = seconds.get(f"ours {dtype}")
        for name, taken in seconds.items():
            if ours is None or not name.endswith(dtype) or name.startswith("ours"):
                continue
            what = "of its limit" if name.startswith("products") else "over ours"
            found[f"{name} {what}"] = ratio(taken, ours)
    return found


def targets(found: dict[str, float]) -> list[Target]:
    """What was to be reached with ordinary lengths."""
    told = [
        Target(f"packed {dtype} engine, of its bare products", least, share)
        for dtype, least in LIMITS.items()
        if (share := found.get(f"products {dtype} of its limit")) is not None
    ]
    return told + [
        Target(f"single task against {name.removesuffix(' over ours')}", OVER_PEERS, value)
        for name, value in found.items()
        if name.endswith("over ours")
    ]


def answered(
    question: str,
    cases: Mapping[str, tuple[Path, list[list[int]]]],
    rounds: int,
    dtypes: Sequence[str],
) -> Result:
    """All contenders on several backbones or row lengths, as the result of another question."""
    shown, told, missing, notes = {}, {}, {}, []
    for case, (model, rows) in cases.items():
        times = ask(model, rows, rounds, dtypes)
        for name, taken in times.seconds.items():
            shown[f"{case}: {name}"] = spread([1e3 * each for each in taken])
        told |= {f"{case}: {name}": value for name, value in ratios(times).items()}
        missing |= {f"{case}: {name}": why for name, why in times.could_not_run.items()}
        notes.append(f"{case}: {len(rows)} rows, {sum(map(len, rows))} tokens.")
    return Result(question, rounds, shown, told, (), missing, notes)


def main() -> None:
    """Ask, print and write."""
    options, machine = arguments(__doc__, 15).parse_args(), machine_facts()
    rows = make_rows(ORDINARY)
    times = ask(MINILM, rows, options.rounds)
    found = ratios(times)
    states = {name: f"{gap:.2g}" for name, gap in gaps(times, "ours float32").items()}
    result = Result(
        question="single_task",
        rounds=options.rounds,
        contenders={
            name: spread([1e3 * each for each in taken]) | {"state_gap": states.get(name, "")}
            for name, taken in times.seconds.items()
        },
        ratios=found,
        targets=targets(found),
        could_not_run=times.could_not_run,
        notes=(
            f"{len(rows)} rows of ordinary lengths, {sum(map(len, rows))} tokens, {THREADS} "
            "threads; peers in four length buckets.",
            "state_gap: the largest difference of a row's mean state from ours in float32.",
        ),
    )
    finish(result, machine, options.output)


if __name__ == "__main__":
    main()
