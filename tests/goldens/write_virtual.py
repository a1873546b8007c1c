"""Writes what Polyhead saves of virtual tokens and invertible adapters, for the library to read.

Run from the repository root: `python -m tests.goldens.write_virtual FOLDER`; the library's numbers
for them come with `python -m tests.goldens.make_virtual FOLDER`.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

from adapter_runtime.checkpoint.reader import read_adapter
from adapter_runtime.checkpoint.hub.writer import new_adapter, write_adapter
from adapter_runtime.sources.folder import Folder
from tests.goldens.replay import checkpoints, engine

BACKBONES = ("bert", "distilbert", "electra", "roberta", "bart", "llama")
READ = ("prefix", "prefix_gated_apart", "prompt_after_bos", "invertible_gelu", "prefix_in_union")
FRESH = {
    "fresh_prefix": "prefix_tuning[prefix_length=3,bottleneck_size=8]",
    "fresh_flat": "prefix_tuning_flat[prefix_length=2]",
    "fresh_prompt": "prompt_tuning[prompt_length=2]",
    "fresh_invertible": "seq_bn_inv[reduction_factor=4]",
}
WITHOUT_PROMPTS = ("bart", "llama")


def main() -> None:
    """Write a folder for each backbone and adapter."""
    for backbone in BACKBONES:
        # The name is where this machine keeps the backbone.
        facts = replace(engine(backbone).backbone.facts, model_name="")
        adapters = []
        for name, config in FRESH.items():
            if backbone not in WITHOUT_PROMPTS or name != "fresh_prompt":
                generator = torch.Generator().manual_seed(len(adapters))
                adapters.append(new_adapter(name, config, facts, generator))
        for name in READ if backbone == "bert" else ():
            folder = Folder(checkpoints("virtual", backbone) / name, name)
            adapters.append(read_adapter(folder, facts, {}))
        for adapter in adapters:
            target = Path(sys.argv[1]) / backbone / adapter.name
            target.mkdir(parents=True)
            write_adapter(adapter, target, facts)


if __name__ == "__main__":
    main()
