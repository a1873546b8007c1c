"""Small batches on CUDA as recorded forwards: one launch in place of one for each kernel.

A recording reads and writes the same memory each time, so a batch is brought to one of a few
sizes: what is missing of its tokens is a row of its own, what is missing of its rows has no
tokens. Attention keeps rows apart, and everything else each token from all others.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import NoReturn

import torch
from torch import Tensor

from adapter_runtime.backbone.backbone import Backbone
from adapter_runtime.backbone.cuda import has_flash
from adapter_runtime.backbone.placed import write
from adapter_runtime.backbone.recording import CudaRecorder, Record
from adapter_runtime.backbone.routing import Layout, Routing
from adapter_runtime.backbone.spans import PlacedSpans, RowSpans
from adapter_runtime.types import Row

Forward = Callable[[Sequence[Row], Routing], Tensor]
"""From rows that lie as a Routing says to their final states, `[tokens, width]`."""

_HALVES = (torch.float16, torch.bfloat16)
_OFTEN = 8
"""Batches of one size until it is recorded: a recording costs a few forwards, and memory."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Size:
    """What a recorded forward has room for.

    Args:
        tokens: of the stream.
        rows: those that fill it up included.
    """

    tokens: int
    rows: int


_Key = tuple[Size, tuple[str, ...]]
"""What two streams share that run by one recording: their size, and the backbone's inputs."""

SIZES = (Size(32, 16), Size(64, 16), Size(128, 16), Size(256, 32), Size(512, 64))
"""Smallest first. A larger stream keeps the device busy for as long as it takes to launch."""


def size_of(num_tokens: int, num_rows: int) -> Size | None:
    """The smallest size that holds a stream, and a row that fills it up; None if it is too large.

    Args:
        num_tokens, num_rows: of the stream, at least 1 each.
    """
    return next(
        (size for size in SIZES if num_tokens <= size.tokens and num_rows < size.rows), None
    )


class RowsUnknown(AttributeError):
    """A forward asked the host for what only the device knows; it cannot be recorded."""


class RecordedRows(RowSpans):
    """Rows that are other ones each time a recording runs: only the device knows where they end.

    What asks the host for lengths or starts fails, so nothing is recorded that depends on them.

    Args:
        size: of the stream.
        bounds: where rows end, after a zero. Shape: `[size.rows + 1]`, int32.
    """

    def __init__(self, size: Size, bounds: Tensor) -> None:
        # Not the base's: it would need starts and lengths.
        self.num_tokens = self.longest = size.tokens
        placed = PlacedSpans(self, bounds.device)
        placed.bounds = bounds
        self._placed = {bounds.device: placed}

    def __getattr__(self, name: str) -> NoReturn:
        raise RowsUnknown(f"the model's forward reads {name} of its rows on the host")


class RecordedForward:
    """The bare backbone over streams of one size.

    Args:
        backbone: the frozen model.
        size: of the streams.
        names: of the backbone's inputs.
        numbers: the first stream, as `numbers_of` gives it.
        record: how it is recorded.
    """

    def __init__(
        self, backbone: Backbone, size: Size, names: Sequence[str], numbers: Tensor, record: Record
    ) -> None:
        self._backbone, self._size, self._names = backbone, size, names
        self._numbers = torch.empty_like(numbers, device=backbone.device)
        bounds = torch.empty(size.rows + 1, device=backbone.device, dtype=torch.int32)
        self._bounds = bounds
        self._routing = Routing(Layout.PACKED, RecordedRows(size, bounds), {})
        write(self._numbers, numbers)
        self._recording = record(self._compute)

    def __call__(self, numbers: Tensor, num_tokens: int) -> Tensor:
        """The final states of a stream's first tokens. Shape: `[num_tokens, width]`."""
        write(self._numbers, numbers)
        self._recording.replay()
        # The next stream of this size is written over them.
        return self._recording.output[:num_tokens].clone()

    def _compute(self) -> Tensor:
        num_inputs = len(self._names) * self._size.tokens
        self._bounds.copy_(self._numbers[num_inputs:])
        inputs = self._numbers[:num_inputs].view(len(self._names), 1, -1).unbind()
        return self._backbone.compute(dict(zip(self._names, inputs, strict=True)), self._routing)


def numbers_of(streams: Sequence[Sequence[int]], spans: RowSpans, size: Size) -> Tensor:
    """All that a recorded forward reads: its inputs, and where rows end after a zero.

    Args:
        streams: the inputs, as long as the size.
        spans: the rows.
        size: of the recording.

    Shape: `[inputs x size.tokens + size.rows + 1]`, int64, on the host.
    """
    ends = [*accumulate(spans.lengths)]
    bounds = [0, *ends, *[size.tokens] * (size.rows - len(ends))]
    return torch.tensor([*chain(*streams), *bounds])


class GraphedForward:
    """Forwards of one backbone: bare streams of often seen small sizes are recorded once.

    Several threads may call it; they share the device's current stream.

    Args:
        backbone: attends by the kernel for all rows at once.
        record: how a forward is recorded.
    """

    def __init__(self, backbone: Backbone, record: Record) -> None:
        self._backbone = backbone
        self._record: Record | None = record
        self._lock = threading.Lock()
        self._asked: Counter[Size] = Counter()
        self._recorded: dict[_Key, RecordedForward] = {}

    def __call__(self, rows: Sequence[Row], routing: Routing) -> Tensor:
        """As `Backbone.forward`. Blocks the thread.

        Raises:
            BackboneError: a row is longer than the position table.
        """
        spans = routing.spans
        is_bare = not routing.work and routing.fork is None
        size = None if not is_bare else size_of(spans.num_tokens, len(spans))
        found = None if size is None or self._record is None else self._replay(rows, spans, size)
        return self._backbone.forward(rows, routing) if found is None else found

    def _replay(self, rows: Sequence[Row], spans: RowSpans, size: Size) -> Tensor | None:
        """The states of a stream by a recording; None while there is none."""
        with self._lock:
            self._asked[size] += 1
            if self._asked[size] < _OFTEN:
                return None
            wide = RowSpans(spans.starts, spans.lengths, size.tokens)
            streams = self._backbone.streams(rows, wide)
            numbers = numbers_of([*streams.values()], spans, size)
            return self._recorded_states((size, tuple(streams)), numbers, spans.num_tokens)

    def _recorded_states(self, key: _Key, numbers: Tensor, num_tokens: int) -> Tensor | None:
        """The states by a recording, made at first; what fails once is not tried again."""
        if self._record is None:
            return None
        try:
            if key not in self._recorded:
                found = RecordedForward(self._backbone, *key, numbers, self._record)
                self._recorded[key] = found
            return self._recorded[key](numbers, num_tokens)
        except Exception as error:  # whatever it is, forwards run without recordings
            level = logging.INFO if isinstance(error, RowsUnknown) else logging.WARNING
            _log.log(level, "small batches are not recorded as CUDA graphs: %s", error)
            self._record = None
            self._recorded.clear()
            return None


def graphed(backbone: Backbone) -> Forward:
    """The backbone's forward, recorded where that can be done: packed rows in half precision."""
    is_fit = backbone.layout is Layout.PACKED and backbone.dtype in _HALVES
    if not is_fit or not has_flash(backbone.device):
        return backbone.forward
    return GraphedForward(backbone, CudaRecorder(backbone.device))
