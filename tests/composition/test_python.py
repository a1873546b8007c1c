"""Compositions in Python, by the names of the `adapters` library's documentation."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import adapter_runtime
from adapter_runtime import AdapterRuntime, Average, Fuse, InvalidInput, Leaf, Stack, UnknownTask
from adapter_runtime.errors import RejectedAdapter
from tests.engine.workshop import write_backbone
from tests.goldens import replay

FOLDER = replay.checkpoints("composition", "bert")
TOLERANCE = 2e-5  # fp32
CASES = {
    case.entry["name"]: case
    for case in replay.all_cases()
    if case.group == "composition" and case.backbone == "bert"
}


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdapterRuntime]:
    """A runtime with adapters, a fusion with its head, and a head apart."""
    folder = write_backbone("bert", tmp_path_factory.mktemp("backbone"))
    shutil.copytree(replay.saved_backbone("bert"), folder, dirs_exist_ok=True)
    made = AdapterRuntime.from_pretrained(str(folder))
    for name in ("seq_a", "seq_b", "seq_c", "lora_a", "lora_b", "double_a", "prefix_a"):
        made.load_adapter(str(FOLDER / name))
    made.load_adapter_fusion(str(FOLDER / "fusion_with_head"))
    made.load_head(str(FOLDER / "double_a_head"))
    yield made
    made.close()


def gap(runtime: AdapterRuntime, name: str, member: str = "hidden") -> float:
    """How far the active set-up is from the library, over all rows of a golden case."""
    worst = 0.0
    for number, row in enumerate(CASES[name].rows()):
        types = torch.tensor([row.type_ids])
        found = runtime.forward(torch.tensor([row.input_ids]), token_type_ids=types, head=None)
        states = found.last_hidden_state
        assert states is not None
        worst = max(
            worst, float(np.abs(states[0].numpy() - CASES[name].expected(member)[number]).max())
        )
    return worst


def test_compositions_are_written_as_in_the_library(runtime: AdapterRuntime) -> None:
    """Names in, the library's numbers out."""
    for setup, name in (
        (Stack("seq_a", "double_a"), "stack_seq_double"),
        (Average("seq_a", "seq_b", weights=[3, 1]), "average_weighted"),
        (Fuse("seq_a", "seq_b"), "fuse_static"),
    ):
        runtime.set_active_adapters(setup)
        assert runtime.active_adapters == setup
        assert gap(runtime, name) < TOLERANCE


def test_a_fusion_brings_its_head(runtime: AdapterRuntime) -> None:
    """The head beside the layer is active with it, by its name."""
    runtime.set_active_adapters(Fuse("seq_a", "seq_b"))
    assert runtime.active_head == "seq_a,seq_b"
    case = CASES["fuse_with_head"]
    row = case.rows()[0]
    types = torch.tensor([row.type_ids])
    logits = runtime.forward(torch.tensor([row.input_ids]), token_type_ids=types).logits
    assert logits is not None
    assert np.abs(logits[0].numpy() - case.expected("logits")[0]).max() < TOLERANCE


@pytest.mark.parametrize(
    ("name", "names", "options"),
    (
        ("merge_bottleneck", ("seq_a", "seq_c"), {"weights": [1, 3]}),
        (
            "merge_lora_svd_whole",
            ("lora_a", "lora_b"),
            {"combine_strategy": "lora_delta_w_svd", "svd_rank": 8},
        ),
    ),
)
def test_average_adapter_adds_an_adapter(
    runtime: AdapterRuntime, name: str, names: tuple[str, ...], options: dict[str, object]
) -> None:
    """A new adapter of its own, from files."""
    runtime.average_adapter("merged", names, set_active=True, **options)  # type: ignore[arg-type]
    assert runtime.active_adapters == Leaf("merged")
    assert gap(runtime, name) < TOLERANCE
    runtime.delete_adapter("merged")


def test_a_merged_adapter_can_be_saved(runtime: AdapterRuntime, tmp_path: Path) -> None:
    """With its new rank and its scale."""
    options: dict[str, Any] = {"combine_strategy": "lora_delta_w_svd", "svd_rank": 3}
    runtime.average_adapter("cut", ["lora_a", "lora_b"], **options)
    runtime.save_adapter(tmp_path / "cut", "cut", with_head=False)
    runtime.load_adapter(str(tmp_path / "cut"), "again")
    row = torch.tensor([[5, 6, 7]])
    states = [
        runtime.forward(row, adapter_names=name, head=None).last_hidden_state
        for name in ("cut", "again")
    ]
    assert torch.allclose(*states, atol=1e-6)


def test_average_adapter_takes_adapters_without_files(runtime: AdapterRuntime) -> None:
    """Weights by name; what was added here counts like what was loaded."""
    runtime.add_adapter("fresh", config="seq_bn[reduction_factor=4]")
    runtime.average_adapter("same", {"fresh": 2.0, "seq_a": 0.0})
    row = torch.tensor([[5, 6, 7]])
    states = [
        runtime.forward(row, adapter_names=name, head=None).last_hidden_state
        for name in ("same", "fresh")
    ]
    assert torch.allclose(*states, atol=1e-5)


def test_average_head_adds_a_head(runtime: AdapterRuntime) -> None:
    """Heads of one configuration average; others are refused."""
    runtime.load_head(str(FOLDER / "seq_a_head"))
    runtime.average_head("both", ["seq_a_head", "double_a_head"])
    one, other, both = (
        runtime._shelf.head(name) for name in ("seq_a_head", "double_a_head", "both")
    )
    for name, tensor in both.tensors.items():
        assert torch.allclose(tensor, (one.tensors[name] + other.tensors[name]) / 2)
    runtime.add_tagging_head("tags", num_labels=3)
    with pytest.raises(RejectedAdapter, match="not_mergeable"):
        runtime.average_head("odd", ["seq_a_head", "tags"])


def test_each_input_has_its_own_composition(runtime: AdapterRuntime) -> None:
    """One call, as many set-ups as inputs: what BatchSplit and Parallel are for."""
    runtime.add_classification_head("seq_c", num_labels=2)
    setups = ["seq_c", Stack("seq_a", "seq_c"), Fuse("seq_a", "seq_b")]
    together = runtime.predict(["a b"] * 3, task=setups)
    assert together == [runtime.predict("a b", task=setup) for setup in setups]


@pytest.mark.parametrize("name", ("Split", "MultiTask", "BatchSplit", "Parallel"))
def test_what_is_no_composition_here_says_what_to_do(name: str) -> None:
    """The names exist, and their error names predict."""
    with pytest.raises(InvalidInput, match="predict"):
        getattr(adapter_runtime, name)("a", "b", splits=[1, 2])


def test_impossible_set_ups_are_refused(runtime: AdapterRuntime) -> None:
    """Unknown fusions, impossible nestings and methods are errors that name the reason."""
    with pytest.raises(UnknownTask, match="seq_a,seq_b"):
        runtime.set_active_adapters(Fuse("seq_a", "seq_c"))
    with pytest.raises(InvalidInput, match="Average cannot hold Average"):
        runtime.set_active_adapters(Average(Average("seq_a"), "seq_b"))
    with pytest.raises(InvalidInput, match="3 weights for 2"):
        runtime.average_adapter("odd", ["seq_a", "seq_b"], weights=[1, 2, 3])
    with pytest.raises(RejectedAdapter, match="unsupported_composition"):
        runtime.forward(torch.tensor([[5]]), adapter_names=Average("prefix_a", "seq_a"))


def test_a_deleted_fusion_is_not_active(runtime: AdapterRuntime) -> None:
    """Nothing stays active that needs what was deleted."""
    runtime.load_adapter_fusion(str(FOLDER / "fusion_short"), set_active=True)
    assert runtime.active_adapters == Fuse("seq_a", "seq_b", fusion="short")
    runtime.delete_adapter_fusion("short")
    assert runtime.active_adapters is None
    assert "short" not in runtime.adapter_fusions
