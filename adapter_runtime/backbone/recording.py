"""What a function asks a device for, recorded to be asked again at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

_WARM_UPS = 2
_recording = threading.Lock()
"""CUDA records for one thread of a process at a time."""


class Recording(Protocol):
    """A forward that can be computed again from what its inputs hold by then.

    Args:
        output: what it writes, in the same memory each time.
    """

    output: Tensor

    def replay(self) -> None:
        """Compute it again; does not wait for the device."""
        ...


Record = Callable[[Callable[[], Tensor]], Recording]
"""Records what a function asks the device for."""


class CudaRecording:
    """What a function asked a CUDA device for, as a CUDA graph.

    Args:
        graph: of everything between inputs and output.
        output: lies in the graph's memory.
    """

    def __init__(self, graph: torch.cuda.CUDAGraph, output: Tensor) -> None:
        self._graph = graph
        self.output = output

    def replay(self) -> None:
        """Compute it again, on the current stream; does not wait for the device."""
        self._graph.replay()


class CudaRecorder:
    """Records on one CUDA device; all recordings share their memory, so none runs beside another.

    Args:
        device: where the functions compute.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, function: Callable[[], Tensor]) -> CudaRecording:
        """Record a function that only asks the device for work. Blocks.

        Raises:
            Exception: it needs something of the host, or the device refuses to record it.
        """
        caller = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(caller)
        graph = torch.cuda.CUDAGraph()
        try:
            # A recording that fails does not leave its stream by itself.
            with _recording, torch.cuda.stream(self._stream):
                for _ in range(_WARM_UPS):
                    function()
                # Other threads upload weights meanwhile.
                with torch.cuda.graph(
                    graph, self._pool, self._stream, capture_error_mode="thread_local"
                ):
                    output = function()
        finally:
            # What the warm-ups still read is not written before they are done.
            caller.wait_stream(self._stream)
        return CudaRecording(graph, output)
