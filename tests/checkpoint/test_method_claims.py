"""What configurations of AdapterHub's methods may claim, before memory is spent on it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from adapter_runtime.checkpoint.files import read_tensors
from adapter_runtime.checkpoint.hub.adapterhub import open_ledger, read_adapterhub
from adapter_runtime.checkpoint.reader import examine_adapter
from adapter_runtime.sources.folder import Folder
from tests.goldens import replay

HUGE = 10**9


class Copy:
    """A golden of `hub_methods` in a folder of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        shutil.copytree(replay.checkpoints("hub_methods", "bert") / name, folder)
        self.folder = folder

    def inner(self, **changes):
        """The codes of all problems after a change below `config`."""
        path = self.folder / "adapter_config.json"
        config = json.loads(path.read_text())
        config["config"].update(changes)
        path.write_text(json.dumps(config))
        return self.codes()

    def tensors(self, change):
        """The codes of all problems after a change of the tensors."""
        path = self.folder / "pytorch_adapter.bin"
        tensors = torch.load(path, weights_only=True)
        change(tensors)
        torch.save(tensors, path)
        return self.codes()

    def codes(self):
        facts = replay.engine("bert").backbone.facts
        found = examine_adapter(Folder(self.folder, "copy"), facts, {})
        assert all(note.message.endswith((".", "?")) for note in found.problems)
        return sorted({note.code for note in found.problems})


@pytest.fixture
def copied(tmp_path):
    return lambda name: Copy(name, tmp_path / name)


@pytest.mark.parametrize(
    ("name", "change"),
    (
        ("compacter", {"phm_dim": HUGE}),
        ("compacter", {"phm_dim": 3}),
        ("compacter", {"phm_dim": 0}),
        ("compacter", {"phm_dim": "4"}),
        ("compacter", {"phm_rank": HUGE}),
        ("compacter", {"phm_rank": None}),
        ("compacter", {"shared_phm_rule": "yes"}),
        ("compacter", {"factorized_phm_W": 2}),
        ("compacter", {"reduction_factor": 1e-4}),
        ("compacter", {"phm_dim": 4096, "reduction_factor": 1 / 4096}),
        ("compacter_shared_w", {"reduction_factor": {"0": 4, "default": 8}}),
        ("dora", {"r": HUGE}),
        ("dora", {"alpha": "5"}),
        ("dora", {"composition_mode": "scale", "r": 1}),
        ("dora", {"dtype": "int8"}),
        ("dora", {"dtype": ["float32"]}),
        ("dora", {"attn_matrices": 3}),
        ("vera", {"r": 1.5}),
        ("mtl_lora_three", {"n_up_projection": HUGE}),
        ("mtl_lora_three", {"n_up_projection": True}),
        ("mtl_lora_three", {"weights_sharpness": 0}),
        ("loreft", {"r": HUGE}),
        ("loreft", {"r": 33}),
        ("loreft", {"prefix_positions": -1}),
        ("loreft", {"prefix_positions": HUGE}),
        ("loreft", {"suffix_positions": "2"}),
        ("loreft", {"layers": "first"}),
        ("loreft", {"layers": 1}),
        ("loreft", {"orthogonality": "maybe"}),
        ("loreft", {"leave_out": "0"}),
    ),
)
def test_impossible_values_are_bad_configurations(copied, name, change):
    """Each size and switch; the message names the key."""
    assert "bad_config" in copied(name).inner(**change)


@pytest.mark.parametrize(
    ("name", "change"),
    (
        ("mtl_lora", {"task_specific_matrix_type": "linear"}),
        ("mtl_lora", {"use_dora": True}),
        ("mtl_lora", {"vera_d": 0.1}),
    ),
)
def test_what_the_library_cannot_run_is_unsupported(copied, name, change):
    """Nobody has numbers for it, so nobody is given any."""
    assert copied(name).inner(**change) == ["unsupported_method"]


@pytest.mark.parametrize(
    ("name", "change"),
    (
        ("compacter", {"phm_rank": 1 << 20}),
        ("dora", {"r": 1 << 20}),
        ("vera", {"r": 1 << 20}),
        ("noreft", {"r": 1 << 20}),
        ("loreft", {"orthogonality": False}),
        ("noreft", {"orthogonality": True}),
        ("noreft", {"layers": [1]}),
        ("compacter", {"phm_bias": False}),
        ("compacter", {"shared_phm_rule": False}),
        ("compacter_whole_w", {"factorized_phm_W": True}),
    ),
)
def test_sizes_that_the_file_lacks_are_told_without_memory(copied, name, change):
    """Ranks within bounds are held against the tensors, never allocated."""
    codes = copied(name).inner(**change)
    assert codes
    assert set(codes) <= {"missing_tensor", "wrong_shape", "unexpected_tensor", "wrong_backbone"}


@pytest.mark.parametrize("name", ("compacter", "vera", "mtl_lora_three", "loreft", "dvora"))
def test_every_tensor_counts(name):
    """Without any one of its tensors the adapter is refused."""
    folder = Folder(replay.checkpoints("hub_methods", "bert") / name, name)
    tensors = read_tensors(folder, "pytorch_adapter.bin")
    facts, config = replay.engine("bert").backbone.facts, folder.read_json("adapter_config.json")
    for lost in tensors:
        rest = {key: value for key, value in tensors.items() if key != lost}
        ledger = open_ledger(rest, facts)
        read_adapterhub(config, ledger, facts)
        assert {note.code for note in ledger.problems()} == {"missing_tensor"}, lost


@pytest.mark.parametrize("name", ("compacter", "vera", "mtl_lora_three", "loreft", "dora"))
def test_numbers_that_are_none_are_refused(copied, name):
    """A single NaN in any tensor, also in one that is folded away."""

    def spoil(tensors):
        tensors[sorted(tensors)[-1]].view(-1)[0] = torch.nan

    assert "non_finite" in copied(name).tensors(spoil)


def test_units_without_places_are_read_all_the_same(copied):
    """A unit for a suffix of no positions is in the file and must be whole."""
    assert copied("loreft_default").codes() == []
