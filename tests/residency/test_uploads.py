"""What can be said of uploads without a CUDA device; `tests/gpu` says the rest on one."""

import torch

from adapter_runtime.residency.uploads import bring, brought, fill, fits, pieces
from adapter_runtime.types import Adapter, Part, PlugPoint, Site

CPU = torch.device("cpu")


def some_tensors():
    """Matrices, vectors and a number, some of them views of others' memory."""
    matrix = torch.arange(70.0).view(7, 10)
    return [matrix, matrix.t(), matrix[:, 3], torch.tensor(5.0), torch.empty(0, 3)]


def test_tensors_come_out_of_one_copy_as_they_went_in():
    """Each has its own shape and numbers, also where its memory had gaps."""
    tensors = some_tensors()
    flat = torch.full((1000,), torch.nan)
    used = flat[: sum(-(-tensor.numel() // 64) * 64 for tensor in tensors)]
    fill(used, tensors)
    for found, tensor in zip(pieces(used, tensors), tensors, strict=True):
        assert torch.equal(found, tensor)
        assert found.storage_offset() % 64 == 0


def test_only_float32_of_a_bounded_size_goes_through_locked_memory():
    """Whatever else there is takes the plain way."""
    assert fits(some_tensors())
    assert not fits([torch.empty(3, dtype=torch.float16)])
    assert not fits([torch.empty(1, 1).expand(1 << 13, 1 << 12)])
    assert not fits([])


def test_on_cpu_the_weights_stay_where_they_are():
    """Host and device are one memory there."""
    part = Part("lora", PlugPoint(0, Site.QUERY), None, {"down": torch.ones(2, 3)})
    found = brought(Adapter("a", "a", (part,)), CPU)
    assert found.parts[0].tensors["down"] is part.tensors["down"]
    assert bring([part.tensors], CPU)[0] is part.tensors
