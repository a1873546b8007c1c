"""A `finish` that keeps what each job got, and fakes for routing."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from adapter_runtime.engine.states import StreamStates


class Collect:
    """Keeps every job's states, and its pooled vector where `pooled` is set."""

    def __init__(self, *, pooled: bool = False) -> None:
        self.pooled = pooled
        self.states: dict[int, Tensor] = {}
        self.vectors: dict[int, Tensor] = {}
        self.num_calls = 0

    def __call__(self, indices: Sequence[int], states: StreamStates) -> None:
        self.num_calls += 1
        spans = zip(indices, states.starts, states.lengths, strict=True)
        for job, start, length in spans:
            assert job not in self.states
            self.states[job] = states.hidden[start : start + length].clone()
        if self.pooled:
            places = list(range(len(indices)))[::-1]
            vectors = states.pool(places)
            self.vectors |= {indices[place]: vectors[i] for i, place in enumerate(places)}


def largest_gap(left: Tensor, right: Tensor) -> float:
    """The largest absolute difference; shapes must agree."""
    assert left.shape == right.shape
    return float((left - right).abs().max()) if left.numel() else 0.0


def gaps(found: Collect, expected: Sequence[Tensor]) -> float:
    """The largest difference over all jobs."""
    assert sorted(found.states) == list(range(len(expected)))
    return max(largest_gap(found.states[job], states) for job, states in enumerate(expected))
