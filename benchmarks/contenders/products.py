"""The backbone's matrix products alone, at the batch's tokens: the machine's limit."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import AutoModel

from benchmarks.contenders.worker import Job, Run, work


@torch.inference_mode()
def prepare(job: Job) -> Run:
    """Weights and inputs of every layer's linears, in the job's dtype."""
    torch.set_num_threads(job["threads"])
    model = AutoModel.from_pretrained(job["model"], add_pooling_layer=False)
    linears = [each for each in model.encoder.modules() if isinstance(each, torch.nn.Linear)]
    num_tokens = sum(map(len, job["rows"]))
    if job["dtype"] == "int8":
        weights = [_whole(each.out_features, each.in_features).t() for each in linears]
        inputs = {each.in_features: _whole(num_tokens, each.in_features) for each in linears}
        multiply, result = torch._int_mm, torch.int32
    else:
        dtype = getattr(torch, job["dtype"])
        weights = [each.weight.detach().to(dtype).t() for each in linears]
        inputs = {each.in_features: torch.randn(num_tokens, each.in_features).to(dtype)
                  for each in linears}  # fmt: skip
        multiply, result = torch.mm, dtype
    # Into memory that is there: what the system takes to map it is not the machine's limit.
    outputs = {w.shape[1]: torch.empty(num_tokens, w.shape[1], dtype=result) for w in weights}

    @torch.inference_mode()
    def run(_is_shown: bool) -> None:
        """Every product once."""
        for weight in weights:
            multiply(inputs[weight.shape[0]], weight, out=outputs[weight.shape[1]])

    return run


def _whole(*shape: int) -> Tensor:
    return torch.randint(-127, 128, shape, dtype=torch.int8)


if __name__ == "__main__":
    work(prepare)
