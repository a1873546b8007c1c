"""Threads that each run single-threaded forwards side by side."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue

import torch

from adapter_runtime.errors import PolyheadError

Work = Callable[[], None]


class StreamThreads:
    """Long-lived threads with one torch intra-op thread each: no parallel regions, no barriers.

    Args:
        num_threads: forwards side by side, at least 1.
    """

    def __init__(self, num_threads: int) -> None:
        self.num_threads = num_threads
        self._queue: SimpleQueue[tuple[Work, Future[None], int | None] | None] = SimpleQueue()
        self._cores = sorted(_cores())
        self._closing = threading.Lock()
        self._is_closed = False
        self._started = threading.Barrier(num_threads + 1)
        self._threads = [
            threading.Thread(target=self._serve, name=f"stream-{number}", daemon=True)
            for number in range(num_threads)
        ]
        count = torch.get_num_threads()
        for thread in self._threads:
            thread.start()
        self._started.wait()
        # Threads that come after them begin with the last number that anybody set.
        torch.set_num_threads(count)

    def _serve(self) -> None:
        # OpenMP and MKL keep this number per thread. A thread's first look at it takes over the
        # process's, whatever was set before: so look first.
        torch.get_num_threads()
        torch.set_num_threads(1)
        self._started.wait()
        home: int | None = None
        while (entry := self._queue.get()) is not None:
            work, done, core = entry
            if core != home:
                self._move(core)
                home = core
            try:
                work()
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(None)

    def _move(self, core: int | None) -> None:
        # A container's cores may be other ones by now; then the thread stays where it may be.
        with suppress(OSError):
            os.sched_setaffinity(0, self._cores if core is None else {core})

    def run(self, works: Sequence[Work]) -> list[BaseException | None]:
        """Run works side by side, first ones first, and wait for all; one error or None each.

        One work runs on a caller whose own thread computes single-threaded: two threads that hand
        every batch to and fro would wait for the interpreter's lock each time.
        """
        if len(works) == 1 and torch.get_num_threads() == 1:
            return [_outcome(works[0])]
        flights: list[Future[None]] = [Future() for _ in works]
        with self._closing:
            if self._is_closed:
                return [PolyheadError("The engine is closed; open another one.") for _ in works]
            for work, done, core in zip(works, flights, self._homes(len(works)), strict=True):
                self._queue.put((work, done, core))
        return [done.exception() for done in flights]

    def _homes(self, num_works: int) -> Sequence[int | None]:
        """A core for each work of a batch that is dealt to all cores.

        The kernel likes to wake all of them on the core of the waker, and there they would share
        what one core has left while another is free. A batch of one work may go anywhere.
        """
        is_dealt = num_works == self.num_threads == len(self._cores) > 1
        return self._cores if is_dealt else [None] * num_works

    def close(self) -> None:
        """Let the threads end after the work they have."""
        with self._closing:
            self._is_closed = True
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads:
            thread.join()


class CallerThread:
    """Runs works in order on the caller's thread, for devices with a queue of their own."""

    num_threads = 1

    def run(self, works: Sequence[Work]) -> list[BaseException | None]:
        """Run works in order; one error or None each."""
        return [_outcome(work) for work in works]

    def close(self) -> None:
        """Nothing to end."""


def _outcome(work: Work) -> BaseException | None:
    try:
        work()
    except Exception as error:
        return error
    return None


Streams = StreamThreads | CallerThread


def open_streams(device: torch.device, num_streams: int = 0) -> Streams:
    """The streams of a device: on CPU as many as asked for, or one per core for 0; else one."""
    if device.type != "cpu":
        return CallerThread()
    return StreamThreads(num_streams or len(_cores()) or os.cpu_count() or 1)


def _cores() -> set[int]:
    """The cores that this process may use; empty where the system does not say, as on macOS."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
