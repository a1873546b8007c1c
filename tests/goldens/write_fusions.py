"""Converts fusion layers as `polyhead convert` does: the first half of the set `fusions_written`.

Run from the repository root in Polyhead's environment:
`python -m tests.goldens.write_fusions FOLDER`; then `make_fusions_written` with the same folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapter_runtime.checkpoint.convert import convert
from adapter_runtime.sources.folder import Folder
from tests.goldens import replay

BACKBONES = ("bert", "roberta", "distilbert")
LEFT_OUT = ("fuse_named_head",)


def cases() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Backbone, name and task of every plain fusion in the set `composition`."""
    for case in replay.all_cases():
        tree = case.entry["task"].get("adapter")
        fused = tree.get("fuse", ()) if isinstance(tree, dict) else ()
        is_plain = bool(fused) and all(isinstance(name, str) for name in fused)
        is_ours = case.group == "composition" and case.backbone in BACKBONES
        if is_ours and is_plain and case.entry["name"] not in LEFT_OUT:
            yield case.backbone, case.entry["name"], case.entry["task"]


def main(root: Path) -> None:
    """Convert every fusion layer and what it fuses, once each."""
    found = list(cases())
    for backbone, _, task in found:
        facts = replay.engine(backbone).backbone.facts
        for name in (*task["adapter"]["fuse"], task["adapter"]["fusion"]):
            target = root / backbone / name
            if not target.exists():
                target.mkdir(parents=True)
                source = replay.checkpoints("composition", backbone) / name
                convert(Folder(source, name), target, "adapterhub", facts, {})
    (root / "cases.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
