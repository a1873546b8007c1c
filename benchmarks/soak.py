"""Everything at once for long: no wrong answer, no error of the server, flat memory and handles.

    python -m benchmarks.soak [--minutes 10]

Clients ask in every protocol while tasks are made, replaced and deleted, while others leave before
their answer or send nonsense. Exit 1 when an answer was wrong, a status has no place here, or the
process has grown.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import orjson
import yaml

from benchmarks.server import BACKBONE, serving
from benchmarks.soak_clients import Soak, Soaked
from benchmarks.soak_questions import TASKS
from benchmarks.variants import expected_answers, write_variants

_VARIANTS = 4
EXAMPLES = Path(__file__).parent.parent / "examples"


def write_catalog(folder: Path) -> None:
    """The demo's tasks as a folder that may be changed."""
    folder.mkdir(parents=True)
    for entry in yaml.safe_load((EXAMPLES / "tasks.yaml").read_text())["tasks"]:
        name = entry.pop("name")
        if name in TASKS:
            if entry.get("adapter"):
                entry["adapter"] = str(EXAMPLES / entry["adapter"])
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(entry))


def soak(seconds: float, place: Path) -> Soaked:
    """Serve, and ask for so long.

    Args:
        seconds: at least 9.
        place: folder for the catalog and what the server remembers.
    """
    variants = write_variants(place / "variants", _VARIANTS)
    answers = expected_answers(BACKBONE, variants)
    write_catalog(place / "tasks")
    with serving(place / "tasks", place / "state", dtype="float32") as server:
        return Soak(server, variants, answers).run(seconds)


def main() -> None:
    """Run and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as place:
        soaked = soak(60 * minutes, Path(place))
    print(orjson.dumps(soaked.report(), option=orjson.OPT_INDENT_2).decode())
    sys.exit(1 if soaked.problems else 0)


if __name__ == "__main__":
    main()
