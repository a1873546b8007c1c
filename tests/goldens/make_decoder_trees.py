"""Makes `sets/decoder_trees`: compositions on decoders, as `adapters` 1.3.0 computes them.

Run from the repository root in the generators' environment:
`PYTHONHASHSEED=0 python -m tests.goldens.make_decoder_trees`.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers
from adapters.composition import Average, Fuse, Stack

from tests.goldens.make_decoders import ADAPTERS, add, base_model, compute, numbers, refill
from tests.goldens.models import rows
from tests.goldens.recording import Recording

BACKBONES = ("gpt2", "llama", "mistral", "qwen2", "qwen3")
MEMBERS = {
    "double_a": "double_seq_bn[reduction_factor=8]",
    "double_b": "double_seq_bn[reduction_factor=4]",
    "seq_a": "seq_bn[reduction_factor=8]",
    "seq_b": "seq_bn[reduction_factor=8,non_linearity='gelu']",
    "par_a": "par_bn[reduction_factor=8]",
    "inverse": "seq_bn_inv[reduction_factor=8]",
    "reft": "loreft[r=2,prefix_positions=2,suffix_positions=1]",
    "prefix_a": "prefix_tuning_flat[prefix_length=2]",
    "prefix_b": "prefix_tuning_flat[prefix_length=3]",
    "lora_a": "lora[r=4,alpha=6]",
    "lora_b": "lora[r=4,alpha=5]",
}
PAIRS = (("double_a", "double_b"), ("seq_a", "seq_b"), ("par_a", "seq_a"))
STACKS = (("inverse", "double_a"), ("reft", "seq_b"), ("seq_a", "lora_a"), ("prefix_a", "prefix_b"))


def members(backbone: str) -> dict[str, str]:
    """The adapters of a backbone that the library composes there.

    Hooked models have no prefixes, and merged projections take one LoRA alone.
    """
    left_out = {"gpt2": "lora", "qwen2": "prefix", "qwen3": "prefix"}.get(backbone, "none")
    return {name: chosen for name, chosen in MEMBERS.items() if left_out not in name}


def trees(backbone: str) -> dict[str, tuple[Any, dict[str, Any], str]]:
    """Each composition as the library's, as a task file's, and what the support table calls it."""
    known, found = members(backbone), {}
    for pair in (*PAIRS, *STACKS):
        if set(pair) <= set(known):
            entry = {"stack": [f"./{name}" for name in pair]}
            found["stack_" + "_".join(pair)] = (Stack(*pair), entry, "Stack")
    for pair in PAIRS:
        entry = {"average": [f"./{name}" for name in pair], "weights": [1, 3]}
        found["average_" + "_".join(pair)] = (Average(*pair, weights=[1, 3]), entry, "Average")
    pair = ("lora_a", "lora_b")
    if set(pair) <= set(known):
        entry = {"average": [f"./{name}" for name in pair]}
        found["average_lora"] = (Average(*pair), entry, "Average")
    for pair in PAIRS[:2]:
        entry = {"fuse": [f"./{name}" for name in pair], "fusion": "./fusion_" + "_".join(pair)}
        found["fuse_" + "_".join(pair)] = (Fuse(*pair), entry, "AdapterFusion")
    return found


def make(record: Recording, backbone: str) -> None:
    """One backbone's adapters, fusion layers and compositions."""
    model = base_model(backbone)
    for name, chosen in members(backbone).items():
        add(model, name, chosen)
        model.save_adapter(str(record.folder(backbone, name)), name, with_head=False)
    for pair in PAIRS[:2]:
        model.add_adapter_fusion(list(pair), "dynamic")
        refill(model, "fusion", (f".adapter_fusion_layer.{','.join(pair)}.",), 0.1)
        folder = record.folder(backbone, "fusion_" + "_".join(pair))
        model.save_adapter_fusion(str(folder), list(pair))
    model.eval()
    for name, (tree, entry, method) in trees(backbone).items():
        model.set_active_adapters(tree)
        expected = numbers(compute(model, rows(backbone)), None)
        task = {"adapter": entry}
        record.add(backbone, name, task, expected, method=method, library=ADAPTERS)


def main() -> None:
    """Write the set."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    record = Recording("decoder_trees")
    for backbone in BACKBONES:
        make(record, backbone)
    record.write()


if __name__ == "__main__":
    main()
