"""Over HTTP against infinity's torch engine: one task, embeddings, same texts, same client.

    python -m benchmarks.questions.http_infinity [--dtypes auto float32 bfloat16] [--search]

Both servers run from the start and take turns; the one whose turn it is not is stopped (SIGSTOP),
so that its idle threads take nothing. Before anything is timed, both servers' vectors of the same
texts are compared. `auto` is each server as it starts by itself: bfloat16 here where the processor
multiplies it natively, and infinity's own defaults. `--search` times all settings of infinity that
start, each for a few seconds; without it they are those that were the fastest here.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from benchmarks.accuracy_scores import cosine
from benchmarks.contenders import environments
from benchmarks.http_load import load, text
from benchmarks.infinity import SETTINGS, Contestant, infinity
from benchmarks.results import Result, Target, arguments, finish, machine_facts, median_ratio
from benchmarks.server import serving

REACH, ALIKE, CROWD = 4.0, 0.999, 16
BEST = {"auto": "defaults", "float32": "compiled", "bfloat16": "plain"}
Rounds = dict[str, list[dict[str, float]]]


@contextmanager
def ours(dtype: str, place: Path, given: Sequence[str]) -> Iterator[Contestant]:
    """Our server with the one task for the block."""
    tasks = place / "embed.yaml"
    tasks.write_text(yaml.safe_dump({"tasks": [{"name": "embed", "kind": "feature-extraction"}]}))
    with serving(tasks, place / dtype, dtype=dtype) as server:
        posts = [("/models/embed", {"inputs": each}) for each in given]
        try:
            yield Contestant(server.url, server.process, posts)
        finally:
            server.process.send_signal(signal.SIGCONT)


def compare(one: Contestant, other: Contestant, count: int = 8) -> float:
    """The least cosine of both servers' vectors.

    Raises:
        SystemExit: they do not answer alike.
    """
    least = min(cosine(one.vector(number), other.vector(number)) for number in range(count))
    if least < ALIKE:
        raise SystemExit(f"The servers' vectors differ: cosine {least:.5f}.")
    return least


def turns(contestants: Mapping[str, Contestant], options: argparse.Namespace) -> dict[int, Rounds]:
    """All rounds; each server is stopped while it is another's turn."""
    found: dict[int, Rounds] = {
        count: {name: [] for name in contestants} for count in options.connections
    }
    for each in contestants.values():
        each.send(signal.SIGSTOP)
    for number in range(options.rounds):
        for count in options.connections:
            for name in sorted(contestants, reverse=bool(number % 2)):
                each = contestants[name]
                each.send(signal.SIGCONT)
                load(each.url, count, options.settle_s, posts=each.posts)
                round_ = load(each.url, count, options.seconds, posts=each.posts)
                each.send(signal.SIGSTOP)
                found[count][name].append(round_)
    return found


def fastest(dtype: str, given: Sequence[str], seconds: float) -> tuple[str, dict[str, str]]:
    """Infinity's fastest settings, and what each of them gave, in words."""
    rates: dict[str, float] = {}
    told: dict[str, str] = {}
    for name, settings in SETTINGS.items():
        try:
            with infinity(dtype, settings, given) as peer:
                load(peer.url, CROWD, seconds, posts=peer.posts)
                rates[name] = load(peer.url, CROWD, seconds, posts=peer.posts)["requests_per_s"]
            told[name] = f"{rates[name]:.1f} requests/s at {CROWD} connections"
        except RuntimeError as error:
            told[name] = str(error)
    return max(rates, key=lambda name: rates[name], default="plain"), told


def measure(
    dtype: str, options: argparse.Namespace, place: Path
) -> tuple[dict[int, Rounds], list[str]]:
    """All rounds of one dtype, and what was compared."""
    chance = random.Random(11)
    given = [text(chance) for _ in range(options.texts)]
    settings, notes = BEST.get(dtype, "plain"), []
    if options.search:
        settings, told = fastest(dtype, given, options.seconds)
        notes = [f"infinity in {dtype}, {name}: {words}" for name, words in told.items()]
    with infinity(dtype, SETTINGS[settings], given) as peer, ours(dtype, place, given) as own:
        least = compare(own, peer)
        options_told = " ".join(SETTINGS[settings]) or "its own defaults"
        notes.append(f"infinity in {dtype} ran with {options_told}; least cosine {least:.6f}")
        return turns({"ours": own, "infinity": peer}, options), notes


def result(
    found: Mapping[str, Mapping[int, Rounds]],
    options: argparse.Namespace,
    missing: Mapping[str, str],
    notes: Sequence[str],
) -> Result:
    """Medians, ratios and targets."""
    contenders, ratios, targets = {}, {}, []
    for dtype, by_count in found.items():
        for count, rounds in by_count.items():
            where = f"{dtype}, {count} connections"
            for name, seen in rounds.items():
                contenders[f"{name}, {where}"] = {
                    key: statistics.median(each[key] for each in seen) for key in seen[0]
                }
            rate = pair(rounds, "requests_per_s")
            late = pair(rounds, "p99_ms")
            ratios |= {f"requests/s: {where}": rate, f"p99: {where}": late}
            if count >= CROWD:
                targets.append(Target(f"requests/s over infinity's: {where}", REACH, rate))
                targets.append(Target(f"p99 over infinity's: {where}", 1.0, late, is_most=True))
    return Result("http_infinity", options.rounds, contenders, ratios, targets, missing, notes)


def pair(rounds: Rounds, key: str) -> float:
    """Ours over infinity's, the median over rounds."""
    columns = ([each[key] for each in rounds[name]] for name in ("ours", "infinity"))
    return median_ratio(*columns)


def ready() -> Mapping[str, str]:
    """Infinity's environment, made on first use; why it is not there, where it is not."""
    try:
        environments.build("infinity")
    except subprocess.CalledProcessError as error:
        return {"infinity": f"its environment could not be built ({error})"}
    return {}


def main() -> None:
    """Measure, print and write."""
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--dtypes", nargs="+", default=["auto", "float32", "bfloat16"])
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each turn")
    parser.add_argument("--settle-s", type=float, default=0.5, help="before each turn counts")
    parser.add_argument("--texts", type=int, default=1024, help="distinct texts")
    parser.add_argument("--search", action="store_true", help="time all of infinity's settings")
    options = parser.parse_args()
    missing = {**ready()}
    machine, found, notes = machine_facts(), {}, []
    with tempfile.TemporaryDirectory() as place:
        for dtype in () if missing else options.dtypes:
            try:
                found[dtype], told = measure(dtype, options, Path(place))
                notes += told
            except RuntimeError as error:
                missing[f"infinity, {dtype}"] = str(error)
    finish(result(found, options, missing, notes), machine, options.output)


if __name__ == "__main__":
    main()
