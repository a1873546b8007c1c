"""Heads on the hidden states of one batch: one outcome per work item."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import numpy as np
from torch import Tensor

from adapter_runtime.engine.states import StreamStates
from adapter_runtime.errors import OutOfMemory, PolyheadError, RowFailed, VersionFailed
from adapter_runtime.heads.layers import JointKind, Stacks, StackSettings
from adapter_runtime.heads.table import HEADS
from adapter_runtime.memory import is_out_of_memory
from adapter_runtime.types import Arrays, HeadSpec, WorkItem

JOINT: Mapping[str, JointKind] = {
    name: kind for name, kind in HEADS.items() if isinstance(kind, JointKind)
}
"""Kinds whose heads of equal settings answer together."""

Head = tuple[HeadSpec, list[int]]
"""A head and the places of a stream that it answers."""


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
        for heads in self._by_settings(indices):
            if len(heads) == 1 or not self._run_joint(heads, indices, states):
                for spec, places in heads:
                    self._run_head(spec, indices, places, states)

    def _by_settings(self, indices: Sequence[int]) -> Iterable[list[Head]]:
        """Every head with its places, those together that may answer together."""
        heads: dict[int, Head] = {}
        for place, index in enumerate(indices):
            spec = self.items[index].version.head
            heads.setdefault(id(spec), (spec, []))[1].append(place)
        alike: dict[object, list[Head]] = {}
        for head in heads.values():
            kind, settings = head[0].head_type, head[0].settings
            alike.setdefault((kind, settings) if kind in JOINT else id(head), []).append(head)
        return alike.values()

    def _run_joint(
        self, heads: Sequence[Head], indices: Sequence[int], states: StreamStates
    ) -> bool:
        """Run heads of equal settings together; False where one of them fails."""
        first, places = heads[0][0], [place for _, own in heads for place in own]
        stacks = Stacks(
            cast(StackSettings, first.settings),
            [self.weights[spec.digest] for spec, _ in heads],
            [len(own) for _, own in heads],
        )
        try:
            found = JOINT[first.head_type].forward_joint(stacks, states.of(places))
        except Exception:
            return False  # whose fault it is shows when each runs alone
        self._keep([indices[place] for place in places], found)
        return True

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
        self._keep(numbers, found)

    def _keep(self, numbers: Sequence[int], found: Sequence[Arrays]) -> None:
        """Take over what heads computed, where it is finite."""
        owners = {id(owner): owner for arrays in found for owner in map(_owner, arrays.values())}
        is_sound = all(map(_is_finite, owners.values()))
        for number, arrays in zip(numbers, found, strict=True):
            is_fine = is_sound or all(map(_is_finite, arrays.values()))
            self.outcomes[number] = arrays if is_fine else _not_finite(self.items[number])

    def fail(self, numbers: Sequence[int], error: Exception) -> None:
        """Give the same error to several items."""
        for number in numbers:
            self.outcomes[number] = as_outcome(error, self.items[number].version.task)

    def result(self) -> tuple[Arrays | Exception, ...]:
        """One outcome per item, in order."""
        lost = RowFailed("The batch left this row without an answer. This is a bug.")
        return tuple(lost if outcome is None else outcome for outcome in self.outcomes)


def _owner(values: np.ndarray) -> np.ndarray:
    """The array that rows were cut from: looking at it once is sooner than at each row."""
    while isinstance(values.base, np.ndarray):
        values = values.base
    return values


def _is_finite(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all())


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
