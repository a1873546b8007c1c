"""PEFT with one LoRA for each task, one of them for each row (`adapter_names`)."""

from __future__ import annotations

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModel

from benchmarks.contenders.drawn import factors
from benchmarks.contenders.worker import Job, Run, buckets, padded, work


@torch.no_grad()
def prepare(job: Job) -> Run:
    """The model with the job's adapters; rows in length buckets, or all padded as one."""
    torch.set_num_threads(job["threads"])
    size, tasks = job["size"], job["tasks"]
    config = LoraConfig(r=size, lora_alpha=2 * size, target_modules=["query", "value"])
    base = AutoModel.from_pretrained(job["model"], add_pooling_layer=False)
    numbers = sorted(set(tasks))
    model: PeftModel = get_peft_model(base, config, adapter_name=f"t{numbers[0]}")
    for task in numbers[1:]:
        model.add_adapter(f"t{task}", config)
    for layer, block in enumerate(model.base_model.model.encoder.layer):
        for site in ("query", "value"):
            linear = getattr(block.attention.self, site)
            for task in numbers:
                down, up = factors(task, layer, site, size, linear.in_features)
                linear.lora_A[f"t{task}"].weight.copy_(down)
                linear.lora_B[f"t{task}"].weight.copy_(up)
    model = model.eval().to(getattr(torch, job["dtype"]))
    rows = job["rows"]
    groups = buckets([len(row) for row in rows], job["buckets"])
    inputs = [tuple(map(torch.tensor, padded([rows[row] for row in group]))) for group in groups]
    names = [[f"t{tasks[row]}" for row in group] for group in groups]

    @torch.inference_mode()
    def run(is_shown: bool) -> list[list[float]] | None:
        """Every bucket once."""
        means = {}
        for group, (ids, mask), chosen in zip(groups, inputs, names, strict=True):
            states = model(input_ids=ids, attention_mask=mask, adapter_names=chosen)[0]
            for place, row in enumerate(group if is_shown else ()):
                means[row] = states[place, : len(rows[row])].float().mean(0).tolist()
        return [means[row] for row in range(len(rows))] if is_shown else None

    return run


if __name__ == "__main__":
    work(prepare)
