"""What is found out about a new version before it is written down."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

from adapter_runtime import (
    Engine,
    PolyheadError,
    SourceError,
    SourceRefused,
    SourceRules,
    TaskSpec,
    TaskVersion,
    absolute,
    at_hand,
    pin_revision,
)
from serving.catalog.puts import Put, map_sources, read_put
from serving.catalog.store import CatalogStore
from serving.errors import ServerBusy
from serving.lifecycle.changing.errands import Errands

log = logging.getLogger(__name__)


class Sources:
    """Sources of new entries, as they shall be written down.

    Args:
        rules: what may be opened.
        store: knows where relative paths start.
    """

    def __init__(self, rules: SourceRules, store: CatalogStore) -> None:
        self._rules = rules
        self._store = store

    def read(self, name: str, body: Mapping[str, Any]) -> Put:
        """A request's body, checked.

        Raises:
            InvalidInput: it is broken; says where.
        """
        return read_put(name, body, self._store.base)

    def check(self, put: Put) -> None:
        """Look at every Source without asking any network.

        Raises:
            SourceRefused: the operator does not allow one of them.
        """
        map_sources(put.body, self._checked)

    def _checked(self, source: str) -> str:
        try:
            at_hand(absolute(source, self._store.base), self._rules)
        except SourceRefused:
            raise
        except SourceError as error:
            log.info("%s", error)  # it is not there now; the version's own page says so
        return source

    def fixed(self, put: Put) -> Put:
        """The body with each hub revision replaced by the commit that it names now. Blocks."""
        body = map_sources(put.body, self._fixed)
        return put if body == put.body else self.read(put.name, body)

    def _fixed(self, source: str) -> str:
        whole = absolute(source, self._store.base)
        try:
            pinned = pin_revision(whole, self._rules)
        except SourceError:
            return source
        return source if pinned == whole else pinned


class EarlyReads:
    """Reads versions before they are in the catalog, for as long as somebody waits for it.

    Args:
        engine: reads.
        errands: reads go on there when nobody waits any more.
    """

    def __init__(self, engine: Engine, errands: Errands) -> None:
        self._engine = engine
        self._errands = errands

    def fixed(self, put: Put, sources: Sources, until_s: float) -> Put:
        """The body with its Sources fixed, where that takes no longer. Blocks.

        Args:
            put: the body.
            sources: fixes them.
            until_s: on the monotonic clock.
        """
        try:
            fixing = self._errands.start(partial(sources.fixed, put))
            return fixing.result(max(0.0, until_s - time.monotonic()))
        except (TimeoutError, ServerBusy):
            return put

    def read(self, spec: TaskSpec, until_s: float) -> TaskVersion | None:
        """What the engine reads; None where it cannot, or takes longer. Blocks.

        Raises:
            SourceRefused: the operator does not allow the Source.
        """
        try:
            reading = self._errands.start(partial(self._engine.read, spec))
            return self._result(reading, until_s)
        except SourceRefused:
            raise
        except PolyheadError as error:
            log.info("%s cannot be read yet: %s", spec.name, error)
        except Exception:
            log.exception("Reading %s met an unexpected error", spec.name)
        return None

    def _result(self, reading: Future[TaskVersion], until_s: float) -> TaskVersion | None:
        try:
            return reading.result(max(0.0, until_s - time.monotonic()))
        except TimeoutError:
            reading.add_done_callback(self._retire)
            return None

    def forget(self, version: TaskVersion | None) -> None:
        """Nobody took what was read."""
        if version is not None:
            self._engine.retire(version)

    def _retire(self, reading: Future[TaskVersion]) -> None:
        """Nobody waits for it any more: whoever admits the version reads it again."""
        if not reading.cancelled() and reading.exception() is None:
            self._engine.retire(reading.result())
