"""One batch through the backbone: rows shared, streams side by side, errors kept apart."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch

from adapter_runtime.backbone.backbone import Backbone
from adapter_runtime.backbone.graphs import graphed
from adapter_runtime.backbone.placed import from_host
from adapter_runtime.backbone.routing import Fork, Routing
from adapter_runtime.engine.fast import FastRouter
from adapter_runtime.engine.forking import (
    Stage,
    least_saving,
    num_computed,
    stages_of,
    token_sources,
    whole,
)
from adapter_runtime.engine.pack import Job, SharedRow, plan_streams, share_rows
from adapter_runtime.engine.route import Router, beside
from adapter_runtime.engine.states import StreamStates
from adapter_runtime.engine.streams import open_streams
from adapter_runtime.residency.slots import SlotPool


class Finish(Protocol):
    """What is done with a finished stream, on the stream's thread."""

    def __call__(self, indices: Sequence[int], states: StreamStates, /) -> None:
        """Use the final states of jobs `indices`; place *i* of the states is job `indices[i]`."""
        ...


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What a batch did.

    Args:
        errors: job numbers whose stream failed, and why.
        num_rows: rows that ran, each shared row once.
        num_tokens: tokens that were computed, each shared row once; of a row that joined another
            between two layers only the share of those that it ran through by itself.
        num_padding_avoided: tokens by which one padded batch of the same rows would be longer.
        compute_s: seconds from first to last stream.
    """

    errors: Mapping[int, Exception]
    num_rows: int
    num_tokens: int
    num_padding_avoided: int
    compute_s: float


class BatchRunner:
    """Runs batches on a backbone; several callers may run theirs side by side.

    Args:
        backbone: the frozen model.
        slots: the device's adapters; every leaf of a job is pinned by the caller.
        num_streams: forwards side by side on CPU; 0 means one per core.
        router: takes the place of the fast path over `slots`, such as the reference path.
        cuda_graphs: whether small batches are recorded, where that can be done.
    """

    def __init__(
        self,
        backbone: Backbone,
        slots: SlotPool,
        num_streams: int = 0,
        router: Router | None = None,
        *,
        cuda_graphs: bool = False,
    ) -> None:
        self.backbone = backbone
        self._forward = graphed(backbone) if cuda_graphs else backbone.forward
        self.router = router or FastRouter(slots)
        self.streams = open_streams(backbone.device, num_streams)

    def close(self) -> None:
        """End the streams' threads."""
        self.streams.close()

    def run(
        self, jobs: Sequence[Job], finish: Finish, num_streams: int | None = None
    ) -> BatchReport:
        """One batch of all jobs. Blocks; `finish` runs once per stream, on its thread.

        Args:
            jobs: the rows.
            finish: what to do with each stream's states.
            num_streams: forwards that the batch is dealt to; one per thread by default. Batches
                of several callers share the threads.
        """
        began_s = time.perf_counter()
        backbone = self.backbone
        rows = share_rows(jobs, backbone.architecture.has_types)
        count = num_streams or self.streams.num_threads
        width = backbone.facts.hidden_size
        plan = plan_streams(rows, backbone.layout, count, self.router.order, width)
        staged = [self._stages(stream) for stream in plan]
        runs = zip(plan, staged, strict=True)
        outcomes = self.streams.run([partial(self._run_stream, *run, finish) for run in runs])
        errors = {
            job: _as_error(error)
            for stream, error in zip(plan, outcomes, strict=True)
            if error is not None
            for shared in stream
            for job in shared.jobs
        }
        num_tokens = sum(map(num_computed, staged))
        longest = max((shared.length for shared in rows), default=0)
        padded = longest * len(jobs)
        took_s = time.perf_counter() - began_s
        return BatchReport(errors, len(rows), num_tokens, padded - num_tokens, took_s)

    def _stages(self, stream: Sequence[SharedRow]) -> list[Stage]:
        backbone = self.backbone
        facts = backbone.facts
        if not backbone.architecture.can_fork:
            return whole(stream, backbone.layout, facts.num_layers)
        least = least_saving(facts.hidden_size, backbone.device.type)
        return stages_of(stream, self.router.begin, facts.num_layers, least)

    def _routing(self, stream: Sequence[SharedRow], stages: Sequence[Stage]) -> Routing:
        """The Routing of the first stage, with those of the others behind it."""
        first, *others = stages
        compositions = [stream[row].composition for row in first.rows]
        fork = None
        if others:
            tokens = from_host(token_sources(others[0], first), self.backbone.device)
            fork = Fork(others[0].layers.start, tokens, self._routing(stream, others))
        is_whole = len(first.layers) == self.backbone.facts.num_layers
        work = self.router.route(compositions, first.spans, *(() if is_whole else (first.layers,)))
        around = beside(self.router, compositions)
        return Routing(self.backbone.layout, first.spans, work, around, fork)

    @torch.inference_mode()
    def _run_stream(
        self, stream: Sequence[SharedRow], stages: Sequence[Stage], finish: Finish
    ) -> None:
        routing = self._routing(stream, stages)
        hidden = self._forward([stream[row].row for row in stages[0].rows], routing)
        spans = stages[-1].spans
        places = [(row, job) for row, shared in enumerate(stream) for job in shared.jobs]
        chosen = [row for row, _ in places]
        inputs = [row for shared in stream for row in shared.rows()]
        found = StreamStates(self.backbone, self.router, stream, hidden, spans, chosen, inputs)
        finish([job for _, job in places], found)


def _as_error(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(f"The stream stopped: {error!r}")
