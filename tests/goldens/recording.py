"""Writing a golden set: checkpoints as a library saved them, and what the library computed.

A set is `sets/NAME/`: `cases.json`, `BACKBONE.zip` with the checkpoints, `BACKBONE.npz` with the
expected numbers. Runs in a generator's environment: numpy and torch only, beside its library.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.goldens.models import InputRow, rows

SETS = Path(__file__).parent / "sets"


class Recording:
    """A set while it is made.

    Args:
        name: the set's folder under `sets/`.
    """

    def __init__(self, name: str) -> None:
        self._home = SETS / name
        self._made = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        self._cases: list[dict[str, Any]] = []
        self._arrays: dict[str, dict[str, np.ndarray]] = {}

    def folder(self, backbone: str, name: str) -> Path:
        """A new folder into which the library saves a checkpoint; tasks name it by `name`."""
        path = self._made / backbone / name
        path.mkdir(parents=True)
        return path

    def add(
        self,
        backbone: str,
        name: str,
        task: Mapping[str, Any],
        expected: Mapping[str, Sequence[Any]],
        *,
        method: str | None = None,
        head: str | None = None,
        inputs: Sequence[InputRow] | None = None,
        library: str = "",
    ) -> None:
        """One case.

        Args:
            backbone: a key of `MODELS`.
            name: unique in this set and backbone.
            task: an entry of a task file without its name; Sources are folder names.
            expected: the `--raw` members (`logits`, `start`, `end`, `hidden` …), row by row.
            method: what the support table calls the method or composition; None for heads alone.
            head: what the support table calls the head; None for hidden states.
            inputs: the rows, `rows(backbone)` by default.
            library: who computed it, such as `adapters 1.3.0`.
        """
        case = {"name": name, "backbone": backbone, "task": task, "members": list(expected)}
        case |= {"method": method, "head": head, "library": library}
        if inputs is not None:
            case["rows"] = inputs
        assert all(len(values) == len(inputs or rows(backbone)) for values in expected.values())
        stored = self._arrays.setdefault(backbone, {})
        for member, values in expected.items():
            for number, value in enumerate(values):
                stored[f"{name}/{member}{number}"] = np.asarray(value, dtype=np.float32)
        self._cases.append(case)

    def write(self) -> None:
        """Replace the set on disk; its bytes depend on its content only."""
        self._home.mkdir(parents=True, exist_ok=True)
        for path in (*self._home.glob("*.npz"), *self._home.glob("*.zip")):
            path.unlink()
        for backbone, stored in self._arrays.items():
            np.savez_compressed(self._home / f"{backbone}.npz", **stored)
        for made in sorted(self._made.iterdir()):
            _pack(made, self._home / f"{made.name}.zip")
        lines = ",\n".join(json.dumps(case) for case in self._cases)
        (self._home / "cases.json").write_text(f"[\n{lines}\n]\n")
        shutil.rmtree(self._made)


def _pack(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(str(file.relative_to(folder)))
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED, 9)
