"""What cannot be composed is refused with a code, a reason and a remedy; nothing is half loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from adapter_runtime import RejectedAdapter, TaskSpec, TaskVersion
from serving.catalog.trees import UnsupportedTree, read_tree
from serving.errors import TaskFileError
from tests.goldens import replay

FOLDER = replay.checkpoints("composition", "bert")


def prepare(tree: Any, folder: Path = FOLDER, **options: Any) -> TaskVersion:
    spec = TaskSpec("composed", adapter=read_tree(tree, folder), options=options)
    return replay.engine("bert").prepare(spec)


REFUSED = {
    "prefix in average": ({"average": ["prefix_a", "seq_a"]}, "unsupported_composition"),
    "lora in fuse": ({"fuse": ["seq_a", "lora_a"], "fusion": "fusion_static"}, "unsupported"),
    "lora and ia3": ({"average": ["lora_a", "ia3_a"]}, "unsupported_composition"),
    "wide lora": ({"stack": ["lora_ffn_a", "lora_ffn_b"]}, "not_stackable"),
    "no layer": ({"fuse": ["seq_a", "double_a"], "fusion": "fusion_static"}, "missing_fusion"),
    "order": ({"fuse": ["seq_b", "seq_a"], "fusion": "fusion_static"}, "wrong_order"),
    "no fusion": ({"fuse": ["seq_a", "seq_b"], "fusion": "seq_a"}, "not_a_fusion"),
    "fusion alone": ("fusion_static", "fusion_only"),
    "fusion in stack": ({"stack": ["seq_a", "fusion_static"]}, "fusion_only"),
    "other methods": ({"merge": ["lora_a", "seq_a"]}, "not_mergeable"),
    "other flags": ({"merge": ["seq_a", "post_add"]}, "not_mergeable"),
    "other layers": ({"merge": ["seq_a", "left_a"]}, "not_mergeable"),
    "strategy": (
        {"merge": ["seq_a", "seq_c"], "strategy": "lora_linear_only_negate_b"},
        "not_mergeable",
    ),
    "gates": (
        {"merge": ["lora_gate", "lora_gate"], "strategy": "lora_linear_only_negate_b"},
        "not_mergeable",
    ),
    "vera": (
        {"merge": ["vera_a", "vera_b"], "strategy": "lora_delta_w_svd", "svd_rank": 2},
        "not_mergeable",
    ),
    "dora": (
        {"merge": ["dora_a", "dora_b"], "strategy": "lora_delta_w_svd", "svd_rank": 2},
        "not_mergeable",
    ),
    "rank": (
        {"merge": ["lora_a", "lora_b"], "strategy": "lora_delta_w_svd", "svd_rank": 33},
        "not_mergeable",
    ),
}


@pytest.mark.parametrize(("tree", "code"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_composed_is_refused(tree: Any, code: str) -> None:
    """The reason has a code, and the sentence ends in something to do."""
    with pytest.raises(RejectedAdapter, match=code) as caught:
        prepare(tree)
    assert all(problem.message.endswith(".") for problem in caught.value.problems)


BADLY_WRITTEN = {
    "no list": ({"stack": "seq_a"}, "takes a list"),
    "two kinds": ({"stack": ["a"], "average": ["b"]}, "give a Source"),
    "unknown key": ({"average": ["a"], "weigths": [1]}, "known keys are average, weights"),
    "too few weights": ({"average": ["a", "b"], "weights": [1]}, "1 weights for 2"),
    "words for weights": ({"average": ["a"], "weights": ["x"]}, "finite numbers"),
    "weights of no sum": ({"average": ["a", "b"], "weights": [1, -1]}, "normalize_weights"),
    "huge weight": ({"average": ["a"], "weights": [10**400]}, "finite numbers"),
    "endless weight": ({"merge": ["a"], "weights": [float("nan")]}, "finite numbers"),
    "mode": ({"average": ["a"], "mode": "median"}, "mode must be one of adapters, mean"),
    "switch": ({"average": ["a"], "normalize_weights": 1}, "true or false"),
    "no fusion": ({"fuse": ["a", "b"]}, "needs `fusion`"),
    "strategy": ({"merge": ["a"], "strategy": "ties"}, "strategy must be one of linear"),
    "rank alone": ({"merge": ["a"], "svd_rank": 3}, "need each other"),
    "no rank": ({"merge": ["a"], "strategy": "lora_delta_w_svd"}, "need each other"),
    "rank of nothing": (
        {"merge": ["a"], "strategy": "lora_delta_w_svd", "svd_rank": 0},
        "1 or more",
    ),
    "too wide": ({"stack": ["a"] * 17}, "at most 4 deep with 16"),
}


@pytest.mark.parametrize(("tree", "words"), BADLY_WRITTEN.values(), ids=BADLY_WRITTEN)
def test_badly_written_trees_say_what_is_wrong(tree: Any, words: str, tmp_path: Path) -> None:
    """A task file's mistake names the key and what it takes."""
    with pytest.raises(TaskFileError, match=words):
        read_tree(tree, tmp_path)


IMPOSSIBLE = {
    "split": ({"split": ["a", "b"], "splits": [3, 4]}, "fixed token positions"),
    "multi_task": ({"multi_task": ["a", "b"]}, "one task for each"),
    "parallel": ({"parallel": ["a", "b"]}, "one task for each"),
    "batch_split": ({"batch_split": ["a", "b"]}, "one task for each"),
    "average in average": ({"average": [{"average": ["a"]}]}, "Average cannot hold Average"),
    "average in fuse": ({"fuse": [{"average": ["a"]}], "fusion": "f"}, "Fuse cannot hold Average"),
    "tree in merge": ({"merge": [{"stack": ["a"]}]}, "Merge cannot hold Stack"),
    "wide": ({"stack": [{"stack": ["a"] * 16}] * 5}, "at most 64 adapters"),
    "deep": ({"average": [{"stack": [{"fuse": ["a"], "fusion": "f"}]}]}, "Stack cannot hold Fuse"),
}


@pytest.mark.parametrize(("tree", "words"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_the_library_cannot_nest_is_refused(tree: Any, words: str, tmp_path: Path) -> None:
    """Trees nest as the library lets them."""
    with pytest.raises(UnsupportedTree, match=words):
        read_tree(tree, tmp_path)


def broken(tmp_path: Path, change: Any) -> Path:
    """A copy of a fusion's folder beside its adapters, with its tensors and config changed."""
    for name in ("seq_a", "seq_b", "fusion_static"):
        shutil.copytree(FOLDER / name, tmp_path / name)
    folder = tmp_path / "fusion_static"
    weights = folder / "pytorch_model_adapter_fusion.bin"
    tensors = torch.load(weights, weights_only=True)
    config = json.loads((folder / "adapter_fusion_config.json").read_text())
    change(tensors, config)
    weights.unlink()
    save_file(tensors, folder / "model_adapter_fusion.safetensors")
    (folder / "adapter_fusion_config.json").write_text(json.dumps(config))
    return tmp_path


QUERY = "bert.encoder.layer.1.output.adapter_fusion_layer.seq_a,seq_b.query.weight"
BROKEN = {
    "missing tensor": (lambda tensors, config: tensors.pop(QUERY), "missing_tensor"),
    "unexpected tensor": (
        lambda tensors, config: tensors.update({"more": torch.zeros(1)}),
        "unexpected_tensor",
    ),
    "wrong shape": (
        lambda tensors, config: tensors.update({QUERY: torch.zeros(3, 3)}),
        "wrong_shape",
    ),
    "not finite": (
        lambda tensors, config: tensors.update({QUERY: torch.full((32, 32), torch.nan)}),
        "non_finite",
    ),
    "other width": (lambda tensors, config: config.update(hidden_size=64), "wrong_backbone"),
    "other family": (lambda tensors, config: config.update(model_type="gpt2"), "wrong_backbone"),
    "no name": (lambda tensors, config: config.pop("name"), "bad_config"),
    "other name": (lambda tensors, config: config.update(name="x,y"), "missing_tensor"),
    "odd config": (lambda tensors, config: config.update(config="huge"), "bad_config"),
    "odd flag": (lambda tensors, config: config["config"].update(key="yes"), "bad_config"),
    "one layer less": (
        lambda tensors, config: [
            tensors.pop(name) for name in list(tensors) if ".layer.1." in name
        ],
        "missing_fusion_layer",
    ),
}


@pytest.mark.parametrize(("change", "code"), BROKEN.values(), ids=BROKEN)
def test_broken_fusion_files_are_refused(change: Any, code: str, tmp_path: Path) -> None:
    """Every tensor of a fusion is accounted for, and nothing that does not fit gets in."""
    folder = broken(tmp_path, change)
    tree = {"fuse": ["seq_a", "seq_b"], "fusion": "fusion_static"}
    with pytest.raises(RejectedAdapter, match=code):
        prepare(tree, folder)


def test_other_names_are_a_warning() -> None:
    """A fusion of adapters by other names may be right: only their owner knows."""
    tree = {"fuse": ["seq_c", "seq_b"], "fusion": "fusion_static"}
    assert "other_fused_names" in [note.code for note in prepare(tree).notes]


def test_the_temperature_is_told_and_can_be_chosen() -> None:
    """It starts at 50 in the library and is not saved; a trained one ends near 1."""
    tree = {"fuse": ["post_add", "seq_c"], "fusion": "fusion_hot"}
    version, cooled = prepare(tree), prepare(tree, fusion_temperature=1.0)
    assert "fusion_temperature" in [note.code for note in version.notes]
    assert version.digest != cooled.digest


def test_a_composition_takes_a_slot_for_each_adapter() -> None:
    """One for each distinct adapter, one for the fusion layer; a merge is one adapter."""
    engine = replay.engine("bert")
    trees: dict[int, Any] = {
        3: {"fuse": ["seq_a", "seq_b"], "fusion": "fusion_static"},
        1: {"average": ["seq_a", "seq_a"]},
        2: {"stack": ["seq_b", {"merge": ["seq_a", "seq_c"]}]},
    }
    for slots, tree in trees.items():
        needs = engine.holdings.needs(prepare(tree))
        assert sum(need.slots for need in needs.values()) == slots
