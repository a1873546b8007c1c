"""Makes `sets/fusions_written`: what the `adapters` library computes from converted fusion layers.

Run from the repository root, in an environment with `adapters` 1.3.0, after `write_fusions`:
`python -m tests.goldens.make_fusions_written FOLDER`.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from adapters.composition import Fuse

from tests.goldens.make_composition import LIBRARY, compute, new_model
from tests.goldens.models import rows
from tests.goldens.recording import Recording


def main(root: Path) -> None:
    """Load every fusion with the library's own loader, which must find every tensor."""
    torch.set_num_threads(1)
    made = Recording("fusions_written")
    for folder in sorted(root.glob("*/*/")):
        target = made.folder(folder.parent.name, folder.name)
        shutil.copytree(folder, target, dirs_exist_ok=True)
    for backbone, name, task in json.loads((root / "cases.json").read_text()):
        tree, model = task["adapter"], new_model(backbone)
        for adapter in tree["fuse"]:
            _load(model.load_adapter, root / backbone / adapter)
        fusion = root / backbone / tree["fusion"]
        _load(model.load_adapter_fusion, fusion)
        named = json.loads((fusion / "adapter_fusion_config.json").read_text())["name"]
        model.set_active_adapters(Fuse(*tree["fuse"], name=named))
        has_head = named in model.heads
        model.active_head = named if has_head else None
        outputs = [compute(model, row) for row in rows(backbone)]
        key = "logits" if has_head else "last_hidden_state"
        expected = {"logits" if has_head else "hidden": [out[key][0].numpy() for out in outputs]}
        head = model.heads[named].config["head_type"] if has_head else None
        made.add(backbone, name, task, expected, method="written", head=head, library=LIBRARY)
    made.write()


def _load(load: Callable[..., Any], folder: Path) -> None:
    found = dict[str, Any]()
    load(str(folder), loading_info=found)
    odd = [*found.get("missing_keys", ()), *found.get("unexpected_keys", ())]
    assert not odd, (folder.name, odd)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
