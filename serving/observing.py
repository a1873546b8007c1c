"""From what happened to metrics and log lines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from adapter_runtime import EngineStats, RunStats
from serving.errors import ClientGone, refusal
from serving.metrics import Recorder
from serving.service import Answer

log = logging.getLogger(__name__)
UNKNOWN = "-"
"""The task label of requests for tasks that do not exist: their names must not fill the metrics."""


class Observer:
    """Records what a service does.

    Args:
        recorder: takes the measurements.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def answered(self, task: str, answer: Answer, took_s: float) -> None:
        """One request got its answer."""
        self._recorder.add("polyhead_requests_total", task, "200")
        self._recorder.observe("polyhead_request_seconds", took_s, task)
        self._recorder.observe("polyhead_queue_seconds", answer.timing.queue_s)
        self._recorder.observe("polyhead_encode_seconds", answer.timing.encode_s)

    def refused(self, task: str, error: BaseException) -> None:
        """One request got an error; a cancelled one has lost its client."""
        refused = refusal(ClientGone() if isinstance(error, asyncio.CancelledError) else error)
        self._recorder.add("polyhead_requests_total", task, str(refused.status))
        self._recorder.add("polyhead_errors_total", task, refused.code)
        if refused.status == 500:
            log.error("A request for %s failed: %s", task, refused.message, exc_info=error)

    def ran(self, stats: RunStats) -> None:
        """One forward."""
        record = self._recorder
        record.observe("polyhead_compute_seconds", stats.compute_s)
        record.observe("polyhead_batch_tokens", stats.num_tokens)
        record.observe("polyhead_batch_rows", stats.num_rows)
        record.observe("polyhead_batch_tasks", stats.num_tasks)
        record.add("polyhead_padding_avoided_tokens_total", value=stats.num_padding_avoided)

    def loaded(self, seconds: float) -> None:
        """One cold version came in."""
        self._recorder.observe("polyhead_load_seconds", seconds)

    def resident(self, stats: EngineStats, tasks: Mapping[str, int]) -> None:
        """What is in memory now, and how many tasks are in each state."""
        record = self._recorder
        record.put("polyhead_resident_adapters", stats.resident_adapters, "device")
        record.put("polyhead_resident_adapters", stats.host_adapters, "host")
        record.put("polyhead_resident_bytes", stats.resident_bytes, "device")
        record.put("polyhead_resident_bytes", stats.host_bytes, "host")
        record.put("polyhead_free_slots", stats.free_slots)
        for state, count in tasks.items():
            record.put("polyhead_tasks", count, state)

    def waiting(self, rows: int, tokens: int, requests: int) -> None:
        """What is inside now."""
        self._recorder.put("polyhead_queue_rows", rows)
        self._recorder.put("polyhead_queue_tokens", tokens)
        self._recorder.put("polyhead_requests_inside", requests)
