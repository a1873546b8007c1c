"""Writes adapters as Polyhead saves them, for the library to load: `hub_written`'s first half.

Run from the repository root in Polyhead's environment:
`python -m tests.goldens.write_hub_methods FOLDER`; then `make_hub_written` with the same folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from adapter_runtime.checkpoint.hub.named_configs import NAMED_CONFIGS
from adapter_runtime.checkpoint.reader import read_adapter
from adapter_runtime.checkpoint.hub.writer import new_adapter, write_adapter
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Adapter
from tests.goldens import replay

READ = {
    "bert": (
        "compacter",
        "compacter_flags",
        "compacter_own_factored_rule",
        "dora",
        "dora_gated",
        "vera",
        "dvora",
        "mtl_lora_three",
        "loreft",
        "loreft_tied",
        "loreft_overlap",
        "noreft_activated",
        "direft",
        "union_reft_bottleneck",
        "union_compacter_dora",
        "legacy_string_union",
        "legacy_gated_1_0",
        "legacy_task",
    ),
    "distilbert": ("compacter", "vera", "loreft"),
}
"""Cases of `hub_methods` that are read and written again."""
SMALL = dict.fromkeys(("compacter", "compacter++"), "[reduction_factor=4]")


def fresh(backbone: str) -> dict[str, Adapter]:
    """A new adapter of every named configuration."""
    opened = replay.engine(backbone).backbone
    found = {}
    for number, name in enumerate(NAMED_CONFIGS):
        random = torch.Generator().manual_seed(number)
        config = f"{name}{SMALL.get(name, '')}"
        safe = name.replace("+", "p")
        found[f"new_{safe}"] = new_adapter(safe, config, opened.facts, random, opened.bases)
    return found


def main(root: Path) -> None:
    """Write every adapter into a folder of its own, under a new name."""
    for backbone, names in READ.items():
        cases = {
            case.entry["name"]: case for case in replay.all_cases() if case.backbone == backbone
        }
        facts = replay.engine(backbone).backbone.facts
        adapters = fresh(backbone) if backbone == "bert" else {}
        for name in names:
            folder = replay.checkpoints("hub_methods", backbone) / name
            options = cases[name].entry["task"].get("options", {})
            adapters[name] = read_adapter(Folder(folder, name), facts, options)
        for name, adapter in adapters.items():
            target = root / backbone / name
            target.mkdir(parents=True)
            write_adapter(adapter, target, facts, "written")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
