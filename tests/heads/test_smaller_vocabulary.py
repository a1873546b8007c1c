"""A head with a vocabulary of its own cannot borrow the backbone's matrix."""

from __future__ import annotations

import shutil

import torch

from serving.catalog.entries import read_spec
from tests.goldens import replay


def test_a_smaller_vocabulary_needs_its_own_matrix(tmp_path):
    """Without it the head is refused by the tensor's name, not by a forward that fails."""
    origin = replay.checkpoints("heads", "bert") / "masked-small"
    shutil.copytree(origin, tmp_path / "head")
    path = tmp_path / "head" / "pytorch_model_head.bin"
    tensors = torch.load(path, weights_only=True)
    (matrix,) = (
        name for name in tensors if tensors[name].shape[0] == 60 and tensors[name].dim() > 1
    )
    del tensors[matrix]
    torch.save(tensors, path)
    report = replay.engine("bert").inspect(read_spec({"name": "t", "head": "head"}, tmp_path))
    assert [problem.code for problem in report.problems] == ["missing_tensor"]
