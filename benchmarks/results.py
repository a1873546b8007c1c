"""What a question's run found: medians, ratios, targets and the machine, as JSON and as a table.

Every question of the suite writes one such result; `benchmarks.report` reads them all.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")
_PACKAGES = ("polyhead", "torch", "transformers", "tokenizers", "peft", "numpy")


@dataclass(frozen=True)
class Target:
    """What was to be reached, and what was got.

    Args:
        measure: in words, as the report prints it.
        reach: the bound.
        is_most: the bound is the most that is allowed, not the least.
        unit: of both; empty for a ratio.
    """

    measure: str
    reach: float
    got: float
    is_most: bool = False
    unit: str = ""

    @property
    def held(self) -> bool:
        """Whether the bound was kept."""
        return self.got <= self.reach if self.is_most else self.got >= self.reach


@dataclass(frozen=True)
class Result:
    """One question's run.

    Args:
        question: its module's name in `benchmarks.questions`.
        rounds: rounds that medians are over.
        contenders: each one's figures, names with their unit at the end (`median_ms`).
        ratios: of figures of the same round, medians over rounds.
        could_not_run: contenders that are missing, and why.
        notes: what a reader must know to read the figures: settings, units, what was compared.
        machine, versions: where it ran.
    """

    question: str
    rounds: int
    contenders: Mapping[str, Mapping[str, Any]]
    ratios: Mapping[str, float] = field(default_factory=dict)
    targets: Sequence[Target] = ()
    could_not_run: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def spread(values: Iterable[float], unit: str = "ms") -> dict[str, float]:
    """The median and the quartiles of one contender's rounds."""
    found = sorted(values)
    low, middle, high = statistics.quantiles(found, n=4) if len(found) > 1 else found * 3
    return {f"median_{unit}": middle, f"p25_{unit}": low, f"p75_{unit}": high}


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median over rounds of one contender's figure over another's in the same round."""
    return statistics.median(one / other for one, other in zip(above, below, strict=True))


def machine_facts() -> dict[str, Any]:
    """The processor, what it multiplies natively, memory, and how loaded it is now."""
    cpu = Path("/proc/cpuinfo")
    told = cpu.read_text() if cpu.exists() else ""
    names = re.findall(r"^model name\s*:\s*(.+)$", told, re.MULTILINE)
    flags = set(re.findall(r"^flags\s*:\s*(.+)$", told, re.MULTILINE)[:1] or [""])
    known = set(" ".join(flags).split())
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "flags": [flag for flag in _FLAGS if flag in known],
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "cuda": _cuda(),
        "load_before": load_average(),
        "measured": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "code": _commit(),
    }


def _commit() -> str | None:
    """Which commit runs, with a `+` where files differ from it; None outside a checkout."""
    command = ["git", "describe", "--always", "--exclude=*", "--dirty=+"]
    try:
        done = subprocess.run(command, capture_output=True, cwd=RESULTS.parent, text=True)
    except OSError:
        return None
    return done.stdout.strip() or None


def _cuda() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def load_average() -> float:
    """Processes that wanted a core in the last minute; other work shows here."""
    return round(os.getloadavg()[0], 2)


def package_versions(packages: Iterable[str] = _PACKAGES) -> dict[str, str]:
    """Versions of the packages that are installed here."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def arguments(text: str | None, rounds: int) -> argparse.ArgumentParser:
    """The options that every question has."""
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=rounds, help=f"default {rounds}")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the JSON files")
    return parser


def as_json(result: Result) -> dict[str, Any]:
    """A result as the file has it; each target with its verdict."""
    found = asdict(result)
    found["targets"] = [asdict(target) | {"held": target.held} for target in result.targets]
    return found


def from_json(found: Mapping[str, Any]) -> Result:
    """A result from its file."""
    targets = [
        Target(**{name: value for name, value in each.items() if name != "held"})
        for each in found["targets"]
    ]
    return Result(**{**found, "targets": targets})


def finish(result: Result, machine: Mapping[str, Any], output: Path) -> None:
    """Complete a result with the machine, write its file and print its table.

    Args:
        machine: `machine_facts()` from before the run.
    """
    facts = {**machine, "load_after": load_average()}
    found = as_json(result) | {"machine": facts, "versions": package_versions()}
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"{result.question}.json"
    path.write_text(json.dumps(found, indent=2) + "\n")
    print(table(result))
    print(f"Written to {path}.")


def table(result: Result) -> str:
    """A result as plain text."""
    lines = [f"{result.question} ({result.rounds} rounds)"]
    for name, figures in result.contenders.items():
        told = "  ".join(f"{key} {shown(value)}" for key, value in figures.items())
        lines.append(f"  {name:<36} {told}")
    lines += [f"  {name:<36} {value:.3f}" for name, value in result.ratios.items()]
    for target in result.targets:
        lines.append(f"  {verdict(target)}: {target.measure}: {reached(target)}")
    lines += [f"  could not run: {name}: {why}" for name, why in result.could_not_run.items()]
    return "\n".join([*lines, *(f"  {note}" for note in result.notes)])


def verdict(target: Target) -> str:
    """In one word or two."""
    return "held" if target.held else "falls short"


def reached(target: Target) -> str:
    """What was got, and the bound."""
    sign = "≤" if target.is_most else "≥"
    unit = f" {target.unit}" if target.unit else ""
    # A digit more than elsewhere: 1.064 is not 1.06.
    got = f"{target.got:.4g}" if abs(target.got) < 100 else shown(target.got)
    return f"{got}{unit} ({sign} {shown(target.reach)}{unit})"


def shown(value: Any) -> str:
    """A figure with three digits that count."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
