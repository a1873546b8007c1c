"""The life cycle over replicas: one makes a change, and all take it over before it is answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deploy.ray_serve.handles import Replicas, no_replicas
from deploy.ray_serve.relaying import ReplicaLost, unpack
from deploy.ray_serve.retrying import Lost, Patience, again
from serving.errors import Refusal

_LOOK_S = 3.0
"""A replica that hangs holds up no change for longer; it follows the catalog by itself."""
_EVICT_S = 10.0
_BEGIN_S = 60.0
_RETRY_AFTER_S = 1.0
_NOT_TWICE = "rollback"
"""The one action that does something else when it is done again."""
_GONE = frozenset({"unknown_task", "unknown_version", "version_retired"})


class RemoteLifeCycle:
    """Implements `LifeCycle` over replicas.

    A change whose replica is lost is made again where that is the same as making it once: without
    an expectation, and no rollback. Every replica then looks at the catalog, so that whoever asks
    next finds the change wherever the request goes.

    Args:
        replicas: are asked.
        patience: for changes that may be made again.
        heard: called before each further try.
        is_up: whether there is a replica.
    """

    def __init__(
        self,
        replicas: Replicas,
        patience: Patience,
        heard: Callable[[], None],
        is_up: Callable[[], bool],
    ) -> None:
        self._replicas = replicas
        self._is_up = is_up
        self._patience = patience
        self._heard = heard

    async def put(self, name: str, entry: Mapping[str, Any], expected: str | None = None) -> bool:
        """As `LifeCycle.put`."""
        return bool(await self._change(expected is None, "put", name, dict(entry), expected))

    async def delete(
        self, name: str, version: str | None = None, expected: str | None = None
    ) -> None:
        """As `LifeCycle.delete`; what a lost replica has deleted is gone, and that is success."""
        tried = 0

        async def ask() -> Any:
            nonlocal tried
            tried += 1
            answer = await self._replicas.ask("delete", name, version, expected)
            is_gone = isinstance(answer, Refusal) and answer.code in _GONE
            return None if is_gone and tried > 1 else answer

        await self._make(expected is None, ask)

    async def act(self, name: str, version: str, action: str, expected: str | None = None) -> None:
        """As `LifeCycle.act`; weights are evicted from all replicas, and preloaded on one."""
        if action == "evict":
            args = (name, version, action, expected)
            told = await self._replicas.ask_all("act", *args, within_s=_EVICT_S) or []
            refused = [each for each in told if isinstance(each, Refusal)]
            if told and len(refused) < len(told):
                return
            if refused:
                unpack(refused[0])
        is_same = expected is None and action != _NOT_TWICE
        await self._change(is_same, "act", name, version, action, expected)

    async def set_traffic(
        self,
        name: str,
        weights: Mapping[str, float] | None,
        shadow: Sequence[str],
        expected: str | None = None,
    ) -> None:
        """As `LifeCycle.set_traffic`."""
        shares = None if weights is None else dict(weights)
        await self._change(expected is None, "set_traffic", name, shares, tuple(shadow), expected)

    async def _change(self, is_same: bool, method: str, *args: Any) -> Any:
        return await self._make(is_same, lambda: self._replicas.ask(method, *args))

    async def _make(self, is_same: bool, ask: Callable[[], Any]) -> Any:
        patience = self._patience if is_same else Patience(tries=1)
        until_s = time.monotonic() + _BEGIN_S
        if not self._is_up():
            raise no_replicas()
        try:
            answer = unpack(await again(ask, patience, until_s, self._heard))
        except Lost as error:
            raise ReplicaLost(
                "The replica that made the change was lost before it said how it ended; GET the "
                "task, and send the change again where it is not there.",
                _RETRY_AFTER_S,
            ) from error
        await self._replicas.ask_all("look", within_s=_LOOK_S)
        return answer
