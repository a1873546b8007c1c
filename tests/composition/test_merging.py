"""Merged adapters are adapters: read once, kept by digest, told apart by weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from adapter_runtime import Adapter, Merge, RejectedAdapter
from adapter_runtime.checkpoint.merging import merge_adapters
from adapter_runtime.checkpoint.reader import read_adapter
from adapter_runtime.engine.reading import Reading
from adapter_runtime.sources.folder import Folder
from tests.goldens import replay

FOLDER = replay.checkpoints("composition", "bert")
FACTS = replay.engine("bert").backbone.facts
SVD = "lora_delta_w_svd"


def folder(name: str) -> Folder:
    return Folder(FOLDER / name, name)


def merged(merge: Merge) -> Adapter:
    return merge_adapters([folder(child.ref) for child in merge.children], merge, FACTS, {})


def products(adapter: Adapter) -> dict[object, torch.Tensor]:
    return {part.point: part.tensors["up"] @ part.tensors["down"] for part in adapter.parts}


def test_the_merge_of_one_is_that_one() -> None:
    """Weights add up to 1."""
    found, one = merged(Merge("seq_a", weights=[7])), read_adapter(folder("seq_a"), FACTS, {})
    for mine, theirs in zip(found.parts, one.parts, strict=True):
        assert all(torch.equal(mine.tensors[name], theirs.tensors[name]) for name in theirs.tensors)


def test_digests_tell_merges_apart() -> None:
    """Children, weights, strategy and rank are all in the digest; nothing else is."""
    merges = (
        Merge("lora_a", "lora_b"),
        Merge("lora_b", "lora_a"),
        Merge("lora_a", "lora_b", weights=[1, 2]),
        Merge("lora_a", "lora_b", strategy="lora_linear_only_negate_b"),
        Merge("lora_a", "lora_b", strategy=SVD, svd_rank=2),
        Merge("lora_a", "lora_b", strategy=SVD, svd_rank=3),
    )
    digests = [merged(merge).digest for merge in merges]
    assert len(set(digests)) == len(merges)
    assert merged(Merge("lora_a", "lora_b", weights=[2, 2])).digest == digests[0]


def test_a_whole_svd_keeps_the_sum_of_the_products() -> None:
    """With rank to spare nothing is lost but the library's scale, alpha over the new rank."""
    found = merged(Merge("lora_a", "lora_b", strategy=SVD, svd_rank=8))
    one, other = (products(read_adapter(folder(name), FACTS, {})) for name in ("lora_a", "lora_b"))
    for point, product in products(found).items():
        assert torch.allclose(product, (one[point] + other[point]) / 2, atol=1e-5)
    assert {part.settings.scale for part in found.parts} == {6 / 8}


def test_a_negative_weight_turns_b_around_only() -> None:
    """`lora_linear_only_negate_b` leaves A's sign."""
    strategy = "lora_linear_only_negate_b"
    merge = Merge("lora_a", weights=[-1], strategy=strategy, normalize_weights=False)
    found, one = merged(merge).parts[0], read_adapter(folder("lora_a"), FACTS, {}).parts[0]
    assert torch.equal(found.tensors["down"], one.tensors["down"])
    assert torch.equal(found.tensors["up"], -one.tensors["up"])


def test_an_evicted_merge_is_read_again() -> None:
    """The library brings it back from its files by the same digest."""
    library = replay.engine("bert").library
    merge = Merge(str(FOLDER / "seq_a"), str(FOLDER / "seq_c"))
    found = Reading(library).read_merge(merge, {})
    library.store.discard(found.digest)
    assert library.item(found.digest).digest == found.digest


def test_a_changed_child_is_noticed(tmp_path: Path) -> None:
    """A merge whose files changed is not the version that was admitted."""
    for name in ("seq_a", "seq_c"):
        shutil.copytree(FOLDER / name, tmp_path / name)
    library = replay.engine("bert").library
    merge = Merge(str(tmp_path / "seq_a"), str(tmp_path / "seq_c"), weights=[1, 3])
    found = Reading(library).read_merge(merge, {})
    weights = "pytorch_adapter.bin"
    tensors = torch.load(tmp_path / "seq_a" / weights, weights_only=True)
    torch.save({name: tensor + 1 for name, tensor in tensors.items()}, tmp_path / "seq_a" / weights)
    library.store.discard(found.digest)
    with pytest.raises(RejectedAdapter, match="source_changed"):
        library.item(found.digest)


def test_children_of_any_name_merge(tmp_path: Path) -> None:
    """Names are taken as whole segments, wherever else they occur in a path."""
    odd = {"seq_a": "output", "seq_c": "layer"}
    for name, other in odd.items():
        shutil.copytree(FOLDER / name, tmp_path / other)
        path = tmp_path / other / "pytorch_adapter.bin"
        tensors = torch.load(path, weights_only=True)
        torch.save({key.replace(name, other): value for key, value in tensors.items()}, path)
        config = tmp_path / other / "adapter_config.json"
        config.write_text(config.read_text().replace(f'"{name}"', f'"{other}"'))
    folders = [Folder(tmp_path / other, other) for other in odd.values()]
    found = merge_adapters(folders, Merge("output", "layer"), FACTS, {})
    expected = merged(Merge("seq_a", "seq_c"))
    for mine, theirs in zip(found.parts, expected.parts, strict=True):
        assert torch.equal(mine.tensors["up_weight"], theirs.tensors["up_weight"])
