"""Heads on the hidden states of one batch: one outcome per work item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from torch import Tensor

from adapter_runtime.engine.states import StreamStates
from adapter_runtime.errors import OutOfMemory, PolyheadError, RowFailed, VersionFailed
from adapter_runtime.heads.table import HEADS
from adapter_runtime.memory import is_out_of_memory
from adapter_runtime.types import Arrays, HeadSpec, WorkItem


class Answering:
    """Collects the outcomes of one batch; streams on several threads write disjoint items.

    Args:
        items: the batch.
        weights: a head's resident tensors by digest.
    """

    def __init__(
        self, items: Sequence[WorkItem], weights: Mapping[str, Mapping[str, Tensor]]
    ) -> None:
        self.items = items
        self.weights = weights
        self.outcomes: list[Arrays | Exception | None] = [None] * len(items)

    def finish(self, indices: Sequence[int], states: StreamStates) -> None:
        """Run every head that a finished stream's rows need.

        Args:
            indices: item numbers of the stream's places; a shared row appears once per item.
            states: the stream's final states.
        """
        for spec, places in self._by_head(indices).items():
            self._run_head(spec, indices, places, states)

    def _by_head(self, indices: Sequence[int]) -> dict[HeadSpec, list[int]]:
        places: dict[HeadSpec, list[int]] = {}
        for place, index in enumerate(indices):
            places.setdefault(self.items[index].version.head, []).append(place)
        return places

    def _run_head(
        self, spec: HeadSpec, indices: Sequence[int], places: Sequence[int], states: StreamStates
    ) -> None:
        numbers = [indices[place] for place in places]
        raw = [self.items[number].raw for number in numbers]
        kind, weights = HEADS[spec.head_type], self.weights[spec.digest]
        try:
            found = kind.forward(spec, weights, states.of(places), raw)
        except Exception as error:
            if len(places) == 1:
                self.fail(numbers, error)
            # One row's or version's own fault, so its neighbours are answered without it.
            for place in places if len(places) > 1 else ():
                self._run_head(spec, indices, [place], states)
            return
        for number, arrays in zip(numbers, found, strict=True):
            self.outcomes[number] = (
                arrays if _is_finite(arrays) else _not_finite(self.items[number])
            )

    def fail(self, numbers: Sequence[int], error: Exception) -> None:
        """Give the same error to several items."""
        for number in numbers:
            self.outcomes[number] = as_outcome(error, self.items[number].version.task)

    def result(self) -> tuple[Arrays | Exception, ...]:
        """One outcome per item, in order."""
        lost = RowFailed("The batch left this row without an answer. This is a bug.")
        return tuple(lost if outcome is None else outcome for outcome in self.outcomes)


def _is_finite(arrays: Arrays) -> bool:
    return all(bool(np.isfinite(values).all()) for values in arrays.values())


def _not_finite(item: WorkItem) -> VersionFailed:
    return VersionFailed(
        f"{item.version.task} computed a value that is not finite for this input; "
        "its weights overflow here."
    )


def as_outcome(error: Exception, task: str) -> PolyheadError:
    """What a row is told of an error: what was raised by surprise is its version's fault."""
    if isinstance(error, PolyheadError):
        return error
    if is_out_of_memory(error):
        return OutOfMemory("The device's memory is too full for this batch; send smaller ones.")
    return VersionFailed(f"{task} cannot be computed ({type(error).__name__}: {error}).")


@contextmanager
def blaming(task: str) -> Iterator[None]:
    """Whatever goes wrong in the block is raised as what a row of the task is told.

    Raises:
        PolyheadError: anything went wrong.
    """
    try:
        yield
    except PolyheadError:
        raise
    except Exception as error:
        raise as_outcome(error, task) from error
