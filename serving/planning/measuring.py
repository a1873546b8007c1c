"""Measures a backbone and a catalog's tasks on this machine, within a bounded time."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from adapter_runtime import EngineInfo, Kind, SettingsError, TaskSpec, TaskVersion
from serving.opening import Catalog, Opened, Opener, open_tasks
from serving.planning.figures import BatchFigures, Figures, HttpFigures, LeftOut, Machine
from serving.planning.inputs import Texts
from serving.planning.loopback import NoServer, measure_http
from serving.planning.resident import resident_bytes
from serving.planning.timing import Rows, Stopwatch, request_counts, rows_of, sizes, time_batches
from serving.planning.weighing import Say, Weighed, weigh
from serving.settings import Settings

LEAST_HTTP_S = 30.0
"""Below so many seconds in all there is no time for a server."""
_TRIAL_SHARE, _TASKS_SHARE, _BATCHES_SHARE, _HTTP_SHARE = 0.1, 0.25, 0.25, 0.4
_HTTP_START_S, _LEAST_ASKING_S = 10.0, 3.0
_BARE = TaskSpec("backbone", kind=Kind.FEATURE_EXTRACTION)


def measure(
    settings: Settings, catalog: Catalog, tokens: float, seconds: float, opener: Opener, say: Say
) -> Figures:
    """Measure. Blocks for about `seconds` after the backbone is open.

    Args:
        tokens: of one request.
        seconds: for all of it, at least 1.

    Raises:
        PolyheadError: nothing could start, or no task is sound.
    """
    say("opening the backbone")
    # A server has these in memory too.
    importlib.import_module("serving.app")
    importlib.import_module("uvicorn")
    opened = open_tasks(settings.model_copy(update={"strict": False}), catalog, opener)
    try:
        return _Measuring(settings, catalog, opened, tokens, seconds, say).figures()
    finally:
        opened.engine.close()


class _Measuring:
    """One go."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        opened: Opened,
        tokens: float,
        seconds: float,
        say: Say,
    ) -> None:
        self.settings = settings
        self.opened = opened
        self.engine = opened.engine
        self.tokens = tokens
        self.seconds = seconds
        self.say = say
        self.began_s = time.monotonic()
        self.left_out = [LeftOut(name=one.name, reason=one.reason) for one in catalog[1].broken]

    def figures(self) -> Figures:
        """All phases, one after the other."""
        self.say("trying batches of the bare backbone")
        bare = self._bare()
        bare_bytes = resident_bytes()
        counts = self._counts(bare)
        loaded_bytes = resident_bytes()
        weighed = self._weigh()
        rows, left_out = rows_of(self.engine, weighed.versions, self.tokens)
        self.left_out += left_out
        batches, got = self._time(bare, rows, counts)
        http = self._http([each.version for each in rows])
        return Figures(
            version=_release(),
            machine=_machine(self.engine.info),
            bare_bytes=bare_bytes,
            loaded_bytes=loaded_bytes,
            growth=weighed.growth,
            cpu_share=got,
            num_tasks=sum(weighed.kinds.values()),
            tasks=weighed.tasks,
            kinds=weighed.kinds,
            batches=tuple(batches),
            http=http,
            left_out=tuple(self.left_out),
            took_s=time.monotonic() - self.began_s,
        )

    def _until_s(self, share: float) -> float:
        """When a phase is to end that may take a share of the time."""
        return time.monotonic() + share * self.seconds

    @property
    def _has_http(self) -> bool:
        return self.seconds >= LEAST_HTTP_S

    def _bare(self) -> Rows:
        """Rows of the backbone alone; the first one warms it up."""
        rows = Rows(self.engine, self.engine.read(_BARE), self.tokens)
        self.engine.run(rows.requests(1), lanes=1)
        return rows

    def _counts(self, bare: Rows) -> list[int]:
        watch = Stopwatch(self.engine, bare, ())
        try:
            return request_counts(watch, self.settings.max_batch_s, self._until_s(_TRIAL_SHARE))
        finally:
            watch.close()

    def _weigh(self) -> Weighed:
        until_s = self._until_s(_TASKS_SHARE)
        weighed = weigh(self.opened, until_s, self.settings.load_threads, self.say)
        self.left_out += weighed.left_out
        if not weighed.tasks:
            reasons = "; ".join(f"{each.name}: {each.reason}" for each in self.left_out)
            raise SettingsError(f"No task could be measured. {reasons or 'The catalog is empty.'}")
        return weighed

    def _time(
        self, bare: Rows, rows: Sequence[Rows], counts: Sequence[int]
    ) -> tuple[list[BatchFigures], float]:
        """Batches, and the share of the lanes' time in which this process really ran."""
        self.say(f"timing batches of up to {len(rows)} tasks")
        watch = Stopwatch(self.engine, bare, rows)
        began_s, ran_s = time.monotonic(), time.process_time()
        share = _BATCHES_SHARE + (0.0 if self._has_http else _HTTP_SHARE)
        try:
            found = time_batches(watch, sizes(counts, len(rows)), self._until_s(share))
        finally:
            watch.close()
        took_s, ran_s = time.monotonic() - began_s, time.process_time() - ran_s
        return found, min(1.0, ran_s / took_s / self.engine.info.num_lanes)

    def _http(self, versions: Sequence[TaskVersion]) -> HttpFigures | None:
        if not self._has_http or not versions:
            return None
        self.say("asking a server on loopback")
        texts = [Texts(self.engine, each, self.tokens, seed=1) for each in versions]
        seconds = max(_LEAST_ASKING_S, _HTTP_SHARE * self.seconds - _HTTP_START_S)
        try:
            return measure_http(self.settings, texts, self.tokens, seconds)
        except NoServer as error:
            self.say(f"no server was measured: {error}")
            return None


def _machine(info: EngineInfo) -> Machine:
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return Machine(
        backbone=info.backbone,
        model_type=info.model_type,
        device=info.device,
        dtype=info.dtype,
        lanes=info.num_lanes,
        max_row_tokens=info.max_row_tokens,
        cores=cores,
    )


def _release() -> str:
    try:
        return version("polyhead")
    except PackageNotFoundError:
        return "unknown"
