"""Ray's request router around `affinity`: every request goes to its task's best replica."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica

from deploy.ray_serve.affinity import FACTOR, FLOOR, Candidate, rank
from serving.service import Call

RESIDENT, REFUSED = "resident", "refused"
"""Names of tasks that a replica reports; see `Replica.record_routing_stats`."""
_NONE: frozenset[str] = frozenset()


class AffineRouter(RequestRouter):
    """Ranks replicas by task; what names no task goes to the least loaded.

    The task is read from the request's first argument. A multiplexed model id would say the same,
    but Ray keeps every request that bears one, unless its own multiplexing takes them back.
    """

    def initialize_state(self, **given: Any) -> None:
        """What the deployment's `request_router_kwargs` say: `factor` and `floor` of `rank`."""
        self._bounds: dict[str, Any] = {"factor": FACTOR, "floor": FLOOR, **given}
        self._resident: dict[ReplicaID, frozenset[str]] = {}
        self._refused: dict[ReplicaID, frozenset[str]] = {}

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        """The replicas and what they report have changed."""
        self._resident = {each.replica_id: _names(each, RESIDENT) for each in replicas}
        self._refused = {each.replica_id: _names(each, REFUSED) for each in replicas}
        super().update_replicas(replicas)

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """All replicas, one by one, best first; one that turns out to be full is passed over."""
        if pending_request is not None:  # all have been offered when they are asked for again
            pending_request.routing_context.should_backoff = True
        task = task_of(pending_request)
        if task is None:
            shuffled = random.sample(candidate_replicas, len(candidate_replicas))
            return [[each] for each in sorted(shuffled, key=self._load)]
        replicas = {each.replica_id.unique_id: each for each in candidate_replicas}
        candidates = [self._candidate(task, each) for each in candidate_replicas]
        ranked = rank(task, candidates, **self._bounds)
        return [[replicas[each.id]] for each in ranked]

    def _candidate(self, task: str, replica: RunningReplica) -> Candidate:
        id = replica.replica_id
        return Candidate(
            id.unique_id,
            self._load(replica),
            replica.max_ongoing_requests,
            task in self._resident.get(id, _NONE),
            task in self._refused.get(id, _NONE),
        )

    def _load(self, replica: RunningReplica) -> int:
        """Requests that the replica has; one that has not said anything lately is thought idle."""
        return self.replica_queue_len_cache.get(replica.replica_id) or 0


def task_of(request: PendingRequest | None) -> str | None:
    """The task that a request is for: that of its Call, or its first argument."""
    first = request.args[0] if request is not None and request.args else None
    if isinstance(first, Call):
        return first.task
    return first if isinstance(first, str) else None


def _names(replica: RunningReplica, what: str) -> frozenset[str]:
    """What a replica reports under a name; one that has just started reports nothing yet."""
    stats: Mapping[str, Any] = replica.routing_stats or {}
    return frozenset(stats.get(what, ()))
