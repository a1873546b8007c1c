"""From what happened to metrics and log lines."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from adapter_runtime import EngineStats, RunStats
from serving.errors import ClientGone, DeadlineExceeded, refusal
from serving.metrics import Recorder
from serving.scheduler.entries import Entry
from serving.service import Answer
from serving.task_labels import UNKNOWN as UNKNOWN

log = logging.getLogger(__name__)
FROM_HOST = "host"
"""The source of a load whose weights were in host memory already."""
_TIERS = ("device", "host")


class Observer:
    """Records what a service does.

    Args:
        recorder: takes the measurements.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._lock = threading.Lock()
        self._evictions: dict[str, int] = {}

    def started(self, release: str) -> None:
        """The server of this release takes requests from now on."""
        self._recorder.put("polyhead_info", 1, release)
        self._recorder.put("polyhead_start_time_seconds", time.time())

    def answered(self, task: str, answer: Answer, took_s: float) -> None:
        """One request got its answer."""
        self._recorder.add("polyhead_requests_total", task, "200")
        self._recorder.add("polyhead_version_requests_total", task, answer.version, "ok")
        self._recorder.add("polyhead_tokens_total", task, value=answer.num_tokens)
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

    def dropped(self, entries: Sequence[Entry]) -> None:
        """Rows were taken out of the queue: nobody waits for them any more."""
        for entry in entries:
            reason = "late" if isinstance(entry.error, DeadlineExceeded) else "cancelled"
            self._recorder.add("polyhead_dropped_rows_total", reason, value=len(entry.waiting))

    def lagged(self, seconds: float) -> None:
        """A timer of the event loop was so late."""
        self._recorder.observe("polyhead_event_loop_lag_seconds", seconds)

    def connection_dropped(self, reason: str) -> None:
        """One connection was ended by the server, before its client wanted."""
        self._recorder.add("polyhead_dropped_connections_total", reason)

    def connected(self, connections: int) -> None:
        """So many connections are open now."""
        self._recorder.put("polyhead_connections", connections)

    def version_failed(self, task: str, version: str) -> None:
        """One request failed by its version's fault."""
        self._recorder.add("polyhead_version_requests_total", task, version, "error")

    def copied(self, task: str, version: str, has_failed: bool = False) -> None:
        """One copy of a request was run, for comparison."""
        result = "copy_failed" if has_failed else "copied"
        self._recorder.add("polyhead_version_requests_total", task, version, result)

    def loaded(self, seconds: float, source: str = "local", result: str = "ok") -> None:
        """One version came in, or could not.

        Args:
            seconds: how long it took.
            source: `FROM_HOST`, or what `source_kind` says.
            result: `ok`, `rejected`, `failed` or `no_capacity`.
        """
        self._recorder.add("polyhead_loads_total", source, result)
        self._recorder.observe("polyhead_load_seconds", seconds, source)

    def admitted(self, result: str) -> None:
        """One version was judged: `accepted`, `known` (not checked again), `rejected`, `failed`."""
        self._recorder.add("polyhead_admissions_total", result)

    def quarantined(self, task: str) -> None:
        """One version failed by itself."""
        self._recorder.add("polyhead_quarantines_total", task)

    def compared(self, task: str, version: str, agrees: bool) -> None:
        """One answer was held against another version's."""
        self._recorder.add("polyhead_compared_total", task, version)
        if not agrees:
            self._recorder.add("polyhead_disagreed_total", task, version)

    def shadow_dropped(self, task: str) -> None:
        """One copy was not run: the queue was long."""
        self._recorder.add("polyhead_shadow_dropped_total", task)

    def rolled_back(self, task: str) -> None:
        """One version was taken out of the traffic by its task's rule."""
        self._recorder.add("polyhead_rollbacks_total", task)

    def reloaded(self, result: str) -> None:
        """The catalog had changed and was read: `ok` or `failed`."""
        self._recorder.add("polyhead_catalog_reloads_total", result)

    def resident(self, stats: EngineStats, tasks: Mapping[str, int]) -> None:
        """What is in memory now, and how many tasks are in each state."""
        record = self._recorder
        record.put("polyhead_resident_adapters", stats.resident_adapters, "device")
        record.put("polyhead_resident_adapters", stats.host_adapters, "host")
        record.put("polyhead_resident_bytes", stats.resident_bytes, "device")
        record.put("polyhead_resident_bytes", stats.host_bytes, "host")
        record.put("polyhead_free_slots", stats.free_slots)
        self._evicted("device", stats.device_evictions)
        self._evicted("host", stats.host_evictions)
        record.put_all("polyhead_tasks", {(state,): count for state, count in tasks.items()})

    def present(self, tasks: Mapping[str, Mapping[str, str]]) -> None:
        """All tasks that there are, each with its versions' residency by id; others are forgotten.

        Args:
            tasks: versions whose id is not known yet are left out.
        """
        self._recorder.keep(tasks)
        tiers: Counter[tuple[str, ...]] = Counter(
            (task, tier)
            for task, versions in tasks.items()
            for tier in versions.values()
            if tier in _TIERS
        )
        self._recorder.put_all("polyhead_resident_versions", dict(tiers))

    def _evicted(self, tier: str, total: int) -> None:
        with self._lock:
            count = total - self._evictions.get(tier, 0)
            self._evictions[tier] = total
        self._recorder.add("polyhead_evictions_total", tier, value=max(0, count))

    def device_failed(self) -> None:
        """One health check found that the device does not compute."""
        self._recorder.add("polyhead_device_failures_total")

    def open(self, is_ready: bool) -> None:
        """Whether new requests are taken now."""
        self._recorder.put("polyhead_ready", float(is_ready))

    def waiting(self, rows: int, tokens: int, requests: int, chores: int) -> None:
        """What is inside now."""
        self._recorder.put("polyhead_worker_backlog", chores)
        self._recorder.put("polyhead_queue_rows", rows)
        self._recorder.put("polyhead_queue_tokens", tokens)
        self._recorder.put("polyhead_requests_inside", requests)
