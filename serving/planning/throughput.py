"""How much one replica answers, and how fast. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from serving.planning.costs import Costs, fit
from serving.planning.figures import Figures, HttpFigures
from serving.planning.popularity import expected_tasks
from serving.planning.wishes import ORDINARY_TOKENS, Wishes
from serving.settings import Settings

QUOTED_SHARE = 0.7
"""Where no server was measured: as two cores gave it for ordinary text; see docs/sizing.md."""
_LEAST_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Throughput:
    """What one replica can do.

    Args:
        costs: of a batch on one lane.
        share: the forwards' share of what a request costs over HTTP.
        around_s: processor time of a request outside of forwards.
        batch_tokens, batch_tasks, batch_s: a full batch.
        requests_per_s: at most; loads of absent tasks included.
    """

    costs: Costs
    share: float
    around_s: float
    batch_tokens: float
    batch_tasks: float
    batch_s: float
    requests_per_s: float


def throughput(
    figures: Figures, wishes: Wishes, settings: Settings, num_tasks: int, cold: float
) -> Throughput:
    """The most that a replica answers.

    Args:
        num_tasks: that it is asked for.
        cold: share of requests that bring their task in first.
    """
    costs, lanes = fit(figures.batches), figures.machine.lanes
    requests = _full_batch(costs, wishes.tokens, settings)
    tasks = expected_tasks(requests, num_tasks, wishes.zipf)
    batch_s = costs.batch_s(requests * wishes.tokens, tasks)
    share = http_share(figures, settings)
    forward_s = batch_s / requests * min(1.0, ORDINARY_TOKENS / wishes.tokens)
    if figures.http is not None:
        forward_s = _forward_s(figures, figures.http, settings)
    around_s = forward_s * (1 / share - 1)
    request_s = batch_s / requests + around_s + cold * mean_load_s(figures)
    most = lanes / request_s
    if around_s:  # Python runs it one at a time, however many cores there are
        most = min(most, 1 / around_s)
    return Throughput(costs, share, around_s, requests * wishes.tokens, tasks, batch_s, most)


def _full_batch(costs: Costs, tokens: float, settings: Settings) -> float:
    """Requests in the largest batch that the scheduler makes."""
    fitting = (settings.max_batch_s - costs.fixed_s) / costs.token_s
    most = min(max(fitting, settings.min_batch_tokens), settings.max_batch_tokens)
    return max(1.0, min(most / tokens, settings.max_batch_rows))


def http_share(figures: Figures, settings: Settings) -> float:
    """The forwards' share of what a request costs over HTTP; at most 1."""
    http = figures.http
    if http is None:
        return QUOTED_SHARE
    forward_s = _forward_s(figures, http, settings)
    whole_s = http.processor_s or figures.machine.lanes / http.requests_per_s
    return min(1.0, max(_LEAST_SHARE, forward_s / whole_s))


def _forward_s(figures: Figures, http: HttpFigures, settings: Settings) -> float:
    """A lane's seconds for one of the requests that the measured server got."""
    costs = fit(figures.batches)
    most = _full_batch(costs, http.tokens, settings)
    requests = max(1.0, min(most, http.connections / figures.machine.lanes))
    tasks = expected_tasks(requests, http.tasks, 0.0)
    return costs.batch_s(requests * http.tokens, tasks) / requests


def mean_load_s(figures: Figures) -> float:
    """Seconds to bring an absent task in."""
    return sum(task.load_s for task in figures.tasks) / len(figures.tasks)


def p50_s(able: Throughput, figures: Figures, arrivals_per_s: float, tokens: float) -> float:
    """The median latency at a steady load, as a model of batches that grow with the queue.

    A lane that becomes free takes what came meanwhile, so the batch size is where arrivals and
    answers balance; a request waits for its share of the running batches, then for its own.
    """
    lanes, costs = figures.machine.lanes, able.costs
    fixed_s, most = costs.fixed_s, able.batch_tokens / tokens
    each_s = costs.token_s * tokens + costs.task_s + able.around_s
    free = lanes - arrivals_per_s * each_s
    size = min(most, max(1.0, arrivals_per_s * fixed_s / free)) if free > 0 else most
    batch_s = fixed_s + each_s * size
    busy = min(1.0, arrivals_per_s * batch_s / (lanes * size))
    return able.around_s + batch_s * (1 + busy / (lanes + 1))
