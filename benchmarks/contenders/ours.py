"""Our packed engine: the backbone with adapters of the batch's tasks, without heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import cycle

import torch

from adapter_runtime import EngineConfig, open_engine
from adapter_runtime.checkpoint.hub.fresh import new_adapter
from adapter_runtime.engine.engine import LocalEngine
from adapter_runtime.engine.extend import extend
from adapter_runtime.engine.forward import Job as RowJob
from adapter_runtime.engine.states import StreamStates
from adapter_runtime.engine.versions import find_extension
from adapter_runtime.methods.bottleneck import BottleneckSettings
from adapter_runtime.methods.lora import LoraSettings
from adapter_runtime.types import Adapter, Leaf, Part, PlugPoint, Row, RowExtension, Site
from benchmarks.contenders.drawn import factors
from benchmarks.contenders.worker import Job, Run, work


def adapter(task: int, config: str, job: Job, engine: LocalEngine) -> Adapter:
    """One task's adapter: drawn as for the peers, or any of the library's named configurations."""
    if "size" in job:
        return drawn_adapter(task, job, engine)
    random = torch.Generator().manual_seed(task)
    made = new_adapter(f"t{task}", config, engine.backbone.facts, random, engine.backbone.bases)
    return replace(made, digest=f"t{task}")


def drawn_adapter(task: int, job: Job, engine: LocalEngine) -> Adapter:
    """LoRA on queries and values, or a bottleneck after each FFN."""
    facts, size, parts = engine.backbone.facts, job["size"], []
    for layer in range(facts.num_layers):
        if job["method"] == "lora":
            for site in (Site.QUERY, Site.VALUE):
                down, up = factors(task, layer, site.value, size, facts.hidden_size)
                tensors = {"down": down, "up": up}
                parts.append(Part("lora", PlugPoint(layer, site), LoraSettings(2.0), tensors))
        else:
            down, up = factors(task, layer, "ffn", size, facts.hidden_size)
            tensors = {"down_weight": down, "down_bias": torch.zeros(size)}
            tensors |= {"up_weight": up, "up_bias": torch.zeros(facts.hidden_size)}
            settings = BottleneckSettings("relu", original_ln_before=True)
            parts.append(Part("bottleneck", PlugPoint(layer, Site.FFN), settings, tensors))
    return Adapter(f"t{task}", f"t{task}", tuple(parts))


def prepare(job: Job) -> Run:
    """The engine with the job's adapters on the device; each run takes the next of its draws."""
    engine = open_engine(job["model"], EngineConfig(dtype=job["dtype"], streams=job["threads"]))
    draws = job.get("draws") or [job.get("tasks") or [None] * len(job["rows"])]
    tasks = {task for draw in draws for task in draw if task is not None}
    method = job.get("method", "")
    configs = [method] if isinstance(method, str) else method
    extensions: dict[int | None, RowExtension | None] = {None: None}
    for task in sorted(tasks | set(range(job.get("registered", 0)))):
        made = adapter(task, configs[task % len(configs)], job, engine)
        engine.slots.acquire(made)
        extensions[task] = find_extension([made.parts])
    batches = cycle([row_jobs(draw, job, engine, extensions) for draw in draws])

    def run(is_shown: bool) -> list[list[float]] | None:
        """One batch."""
        jobs = next(batches)
        found: dict[int, torch.Tensor] = {}

        def finish(indices: Sequence[int], states: StreamStates) -> None:
            for number, start, size in zip(indices, states.starts, states.lengths, strict=True):
                found[number] = states.hidden[start : start + size]

        report = engine.runner.run(jobs, finish)
        if report.errors:
            raise next(iter(report.errors.values()))
        if not is_shown:
            return None
        return [found[number].mean(0).tolist() for number in range(len(jobs))]

    return run


def row_jobs(
    tasks: Sequence[int | None],
    job: Job,
    engine: LocalEngine,
    extensions: Mapping[int | None, RowExtension | None],
) -> list[RowJob]:
    """The job's rows, each with its task's adapter."""
    return [
        RowJob(
            extend(Row(tuple(row)), extensions[task], engine.backbone.skipped_token),
            None if task is None else Leaf(f"t{task}"),
        )
        for row, task in zip(job["rows"], tasks, strict=True)
    ]


if __name__ == "__main__":
    work(prepare)
