"""Makes `sets/hub_written`: what the `adapters` library computes from what Polyhead saved.

Run from the repository root, in an environment with `adapters` 1.3.0, after
`write_hub_methods`: `python -m tests.goldens.make_hub_written FOLDER`.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import torch

from tests.goldens.make_hub_methods import LIBRARY, flex_model, states
from tests.goldens.models import rows
from tests.goldens.recording import Recording


def main(root: Path) -> None:
    """Load every folder with the library's own loader, which must find every tensor."""
    torch.set_num_threads(1)
    made = Recording("hub_written")
    for folder in sorted(root.glob("*/*/")):
        backbone, name = folder.parent.name, folder.name
        shutil.copytree(folder, made.folder(backbone, name), dirs_exist_ok=True)
        model, info = flex_model(backbone), dict[str, Any]()
        loaded = model.load_adapter(str(folder), with_head=False, loading_info=info)
        odd = [*info["missing_keys"], *info["unexpected_keys"]]
        assert not [key for key in odd if "prefix_tuning.pool" not in key], (name, odd)
        model.set_active_adapters(loaded)
        # States of virtual tokens, which the library puts before the text, are no answer.
        found = zip(states(model, backbone), rows(backbone), strict=True)
        expected = {"hidden": [values[-len(row.input_ids) :] for values, row in found]}
        made.add(backbone, name, {"adapter": name}, expected, method="written", library=LIBRARY)
    made.write()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
