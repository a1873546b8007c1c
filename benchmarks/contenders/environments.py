"""Builds the environments of other libraries, which cannot live beside ours.

    python -m benchmarks.contenders.environments infinity adapters

Each is `.venv-bench-NAME`, from `requirements/NAME.txt`; one that is there and whose requirements
have not changed is left as it is. torch comes first and by its exact version: a range would let pip
choose a build for another device.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).parent / "requirements"


def names() -> list[str]:
    """Every environment that can be built."""
    return sorted(path.stem for path in REQUIREMENTS.glob("*.txt"))


def folder(name: str) -> Path:
    """Where an environment lies."""
    return ROOT / f".venv-bench-{name}"


def torch_version() -> str:
    """The one that the product is locked to."""
    found = re.search(r"^torch==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert found is not None, "requirements.lock names no torch"
    return found[1]


def wanted(name: str) -> str:
    """A digest of all that an environment is built from."""
    text = f"{torch_version()}\n{sys.version_info[:2]}\n"
    path = REQUIREMENTS / f"{name}.txt"
    while True:
        content = path.read_text()
        text += content
        further = re.search(r"^-r (\S+)", content, re.MULTILINE)
        if further is None:
            return hashlib.sha256(text.encode()).hexdigest()
        path = path.parent / further[1]


def build(name: str) -> bool:
    """Build an environment; False where it was there already.

    Raises:
        subprocess.CalledProcessError: a step failed; its words are above.
    """
    place, mark = folder(name), folder(name) / ".built"
    if mark.exists() and mark.read_text() == wanted(name):
        return False
    python = place / "bin" / "python"
    steps = {
        "a virtual environment": [sys.executable, "-m", "venv", str(place)],
        "torch": [str(python), "-m", "pip", "install", "-q", f"torch=={torch_version()}"],
        "the rest": [
            str(python), "-m", "pip", "install", "-q", "-r", str(REQUIREMENTS / f"{name}.txt"),
        ],
    }  # fmt: skip
    for number, (what, command) in enumerate(steps.items(), 1):
        began_s = time.perf_counter()
        print(f"{name}: {number}/{len(steps)} {what} …", end=" ", flush=True)
        subprocess.run(command, check=True)
        print(f"{time.perf_counter() - began_s:.0f} s", flush=True)
    mark.write_text(wanted(name))
    return True


def main() -> None:
    """Build those that are named, all by default; 1 if one could not be built."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names()))
    chosen = parser.parse_args().names or names()
    if unknown := set(chosen) - set(names()):
        parser.error(f"no such environment: {', '.join(sorted(unknown))}; there are {names()}")
    failed = []
    for name in chosen:
        try:
            print(f"{name}: {'built' if build(name) else 'there already'} in {folder(name)}")
        except subprocess.CalledProcessError as error:
            failed.append(name)
            print(f"\n{name}: could not be built: {error}", file=sys.stderr)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
