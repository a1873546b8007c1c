"""The `adapters` library: several adapters in a batch (BatchSplit), or one row after another."""

from __future__ import annotations

import adapters
import torch
from adapters.composition import BatchSplit
from transformers import AutoModel

from benchmarks.contenders.drawn import factors
from benchmarks.contenders.worker import Job, Run, padded, work


@torch.no_grad()
def prepare(job: Job) -> Run:
    """The model with the job's adapters, and the job's way of taking turns between them."""
    torch.set_num_threads(job["threads"])
    model = AutoModel.from_pretrained(
        job["model"], add_pooling_layer=False, attn_implementation="sdpa"
    )
    adapters.init(model)
    for task in sorted(set(job["tasks"])):
        add(model, task, job)
    model = model.eval().to(getattr(torch, job["dtype"]))
    return {"split": split, "switched": switched}[job["way"]](model, job)


def add(model: torch.nn.Module, task: int, job: Job) -> None:
    """One task's adapter with the weights that all contenders have."""
    name, size, width = f"t{task}", job["size"], model.config.hidden_size
    if job["method"] == "lora":
        model.add_adapter(name, config=adapters.LoRAConfig(r=size, alpha=2 * size))
    else:
        model.add_adapter(name, config=adapters.SeqBnConfig(reduction_factor=width / size))
    for layer, block in enumerate(model.encoder.layer):
        if job["method"] == "lora":
            for site in ("query", "value"):
                lora = getattr(block.attention.self, site).loras[name]
                down, up = factors(task, layer, site, size, width)
                lora.lora_A.copy_(down)
                lora.lora_B.copy_(up)
        else:
            found = block.output.adapters[name]
            down, up = factors(task, layer, "ffn", size, width)
            found.adapter_down[0].weight.copy_(down)
            found.adapter_down[0].bias.zero_()
            found.adapter_up.weight.copy_(up)
            found.adapter_up.bias.zero_()


def split(model: torch.nn.Module, job: Job) -> Run:
    """Rows sorted by task in one padded batch."""
    rows, tasks = job["rows"], job["tasks"]
    order = sorted(range(len(rows)), key=lambda row: tasks[row])
    ids, mask = map(torch.tensor, padded([rows[row] for row in order]))
    names = sorted(set(tasks))
    if len(names) > 1:
        sizes = [tasks.count(task) for task in names]
        model.set_active_adapters(BatchSplit(*(f"t{task}" for task in names), batch_sizes=sizes))
    else:
        model.set_active_adapters(f"t{names[0]}")

    @torch.inference_mode()
    def run(is_shown: bool) -> list[list[float]] | None:
        """The batch once."""
        states = model(input_ids=ids, attention_mask=mask)[0]
        if not is_shown:
            return None
        means = {
            row: states[place, : len(rows[row])].float().mean(0).tolist()
            for place, row in enumerate(order)
        }
        return [means[row] for row in range(len(rows))]

    return run


def switched(model: torch.nn.Module, job: Job) -> Run:
    """The active adapter is changed before each row; nothing is padded."""
    inputs = [torch.tensor([row]) for row in job["rows"]]

    @torch.inference_mode()
    def run(is_shown: bool) -> list[list[float]] | None:
        """Every row once."""
        means = []
        for ids, task in zip(inputs, job["tasks"], strict=True):
            model.set_active_adapters(f"t{task}")
            states = model(input_ids=ids)[0][0]
            if is_shown:
                means.append(states.float().mean(0).tolist())
        return means if is_shown else None

    return run


if __name__ == "__main__":
    work(prepare)
