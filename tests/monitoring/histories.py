"""Made-up histories: for each alert one in which it fires, and others in which it must not."""

from __future__ import annotations

from collections.abc import Mapping

SERVER = 'job="polyhead", namespace="n", instance="a", pod="p"'
History = Mapping[str, str]
"""Series to their samples in promtool's notation, one a minute."""


def one(name: str, samples: str, labels: str = "") -> History:
    """A series of the server."""
    return {f"{name}{{{SERVER}{', ' if labels else ''}{labels}}}": samples}


def requests(*rates: tuple[str, int]) -> History:
    """Requests of a task by status, so many a minute; 500 stands for internal errors."""
    found: dict[str, str] = {}
    for status, rate in rates:
        labels = f'task="t", status="{status}"'
        found |= one("polyhead_requests_total", f"0+{rate}x90", labels)
        code = {"500": "internal_error", "503": "loading", "429": "overloaded"}.get(status)
        if code is not None:
            found |= one("polyhead_errors_total", f"0+{rate}x90", f'task="t", code="{code}"')
    return found


def slow(name: str, bounds: tuple[str, str], labels: str = "") -> History:
    """A histogram whose values lie below the first of two bounds, half of them below the second."""
    low, high = bounds
    comma = ", " if labels else ""
    return (
        one(f"{name}_bucket", "0+50x90", f'{labels}{comma}le="{low}"')
        | one(f"{name}_bucket", "0+100x90", f'{labels}{comma}le="{high}"')
        | one(f"{name}_bucket", "0+100x90", f'{labels}{comma}le="+Inf"')
    )


def newborn(name: str, labels: str = "", at_min: int = 60) -> History:
    """A counter that is not there before it first counts: its first value is 1."""
    return one(name, f"_x{at_min} 1x{90 - at_min}", labels)


def twice(name: str, labels: str = "") -> History:
    """A counter that counts once more."""
    return one(name, "3x60 4x30", labels)


TASK = 'task="t"'
EVICTED = 'tier="device"'
FIRING: Mapping[str, tuple[History, ...]] = {
    "PolyheadAbsent": ({"other": "1x90"},),
    "PolyheadDown": (one("up", "1x40 0x50"),),
    "PolyheadNoneReady": (one("polyhead_ready", "0x90"),),
    "PolyheadNotReady": (one("polyhead_ready", "1x30 0x60"),),
    "PolyheadRestarts": (one("polyhead_start_time_seconds", "1x50 2x5 3x5 4x30"),),
    "PolyheadDeviceFailed": (
        one("polyhead_device_failures_total", "0x60 2x30"),
        newborn("polyhead_errors_total", 'task="t", code="device_failed"'),
    ),
    "PolyheadReplicasLost": (one("polyhead_retries_total", "0x60 3x30"),),
    "PolyheadMixedReleases": (
        one("polyhead_info", "1x90", 'release="1"') | one("polyhead_info", "1x90", 'release="2"'),
    ),
    "PolyheadErrorRate": (requests(("200", 90), ("500", 10)),),
    "PolyheadTaskErrorRate": (requests(("200", 70), ("500", 30)),),
    "PolyheadSlow": (slow("polyhead_request_seconds", ("1.024", "2.048"), TASK),),
    "PolyheadQueueSlow": (slow("polyhead_queue_seconds", ("0.512", "1.024")),),
    "PolyheadQueueGrowing": (one("polyhead_queue_tokens", "4100+100x90"),),
    "PolyheadSaturated": (requests(("200", 98), ("429", 2)),),
    "PolyheadConnectionsRefused": (
        one("polyhead_dropped_connections_total", "0+12x90", 'reason="full"'),
        newborn("polyhead_dropped_connections_total", 'reason="full"', at_min=30)
        | one("polyhead_dropped_connections_total", "0+12x90", 'reason="no_memory"'),
    ),
    "PolyheadForwardSlow": (slow("polyhead_compute_seconds", ("0.512", "1.024")),),
    "PolyheadEventLoopSlow": (slow("polyhead_event_loop_lag_seconds", ("0.256", "0.512")),),
    "PolyheadTasksBroken": (
        one("polyhead_tasks", "1x90", 'state="rejected"'),
        one("polyhead_tasks", "2x90", 'state="quarantined"'),
    ),
    "PolyheadQuarantined": (
        newborn("polyhead_quarantines_total", TASK),
        twice("polyhead_quarantines_total", TASK),
    ),
    "PolyheadRolledBack": (
        newborn("polyhead_rollbacks_total", TASK),
        twice("polyhead_rollbacks_total", TASK),
    ),
    "PolyheadAdmissionRefused": (
        newborn("polyhead_admissions_total", 'result="rejected"'),
        twice("polyhead_admissions_total", 'result="failed"'),
    ),
    "PolyheadReloadFailed": (newborn("polyhead_catalog_reloads_total", 'result="failed"'),),
    "PolyheadKeysBroken": (one("polyhead_keys_broken", "0x60 1x30"),),
    "PolyheadLoadsFailing": (
        newborn("polyhead_loads_total", 'source="hub", result="failed"'),
        twice("polyhead_loads_total", 'source="host", result="no_capacity"'),
    ),
    "PolyheadLoadsSlow": (slow("polyhead_load_seconds", ("8.192", "16.384"), 'source="hub"'),),
    "PolyheadThrashing": (
        requests(("200", 60)) | one("polyhead_evictions_total", "0+30x90", EVICTED),
    ),
    "PolyheadNoFreeSlots": (
        one("polyhead_free_slots", "0x90") | one("polyhead_evictions_total", "0+1x90", EVICTED),
    ),
}
HEALTHY: History = {
    **one("up", "1x90"),
    **one("polyhead_ready", "1x90"),
    **one("polyhead_start_time_seconds", "1700000000x90"),
    **one("polyhead_info", "1x90", 'release="1"'),
    **one("polyhead_device_failures_total", "0x90"),
    **one("polyhead_retries_total", "0x90"),
    **requests(("200", 1000), ("404", 100), ("422", 100), ("500", 5), ("503", 50), ("429", 1)),
    **slow("polyhead_request_seconds", ("0.064", "0.128"), TASK),
    **slow("polyhead_queue_seconds", ("0.016", "0.032")),
    **slow("polyhead_compute_seconds", ("0.064", "0.128")),
    **slow("polyhead_event_loop_lag_seconds", ("0.001", "0.002")),
    **slow("polyhead_load_seconds", ("0.064", "0.128"), 'source="local"'),
    **one("polyhead_dropped_connections_total", "0+60x90", 'reason="slow_body"'),
    **one("polyhead_queue_tokens", "0 9000 300 0 20 7000 0x85"),
    **one("polyhead_tasks", "9x90", 'state="ready"'),
    **one("polyhead_tasks", "3x90", 'state="pending"'),
    **one("polyhead_admissions_total", "0+1x90", 'result="accepted"'),
    **one("polyhead_loads_total", "0+1x90", 'source="local", result="ok"'),
    **one("polyhead_catalog_reloads_total", "0+1x90", 'result="ok"'),
    **one("polyhead_keys_broken", "0x90"),
    **one("polyhead_free_slots", "100x90"),
    **one("polyhead_evictions_total", "0+1x90", EVICTED),
    **one("polyhead_evictions_total", "0+9x90", 'tier="host"'),
}
"""Traffic, a few errors, tasks that come and go: nothing that anybody must be called for."""
QUIET: Mapping[str, History] = {
    "PolyheadDown": one("up", "1x68 0x1 1x30"),
    "PolyheadNotReady": one("polyhead_ready", "1x60 0x30"),
    "PolyheadRestarts": one("polyhead_start_time_seconds", "1x10 2x10 3x10 4x60"),
    "PolyheadNoneReady": one("polyhead_ready", "0x90")
    | {'polyhead_ready{job="polyhead", namespace="n", instance="b", pod="q"}': "1x90"},
    "PolyheadErrorRate": requests(("200", 50), ("503", 50)),
    "PolyheadTaskErrorRate": requests(("200", 50), ("422", 50)),
    "PolyheadConnectionsRefused": one(
        "polyhead_dropped_connections_total", "0x60 20x30", 'reason="full"'
    ),
    "PolyheadQuarantined": newborn("polyhead_quarantines_total", TASK, at_min=5),
    "PolyheadRolledBack": one("polyhead_rollbacks_total", "4x30 _x5 4x60", TASK),
    "PolyheadLoadsFailing": newborn("polyhead_loads_total", 'source="hub", result="rejected"'),
    "PolyheadThrashing": requests(("200", 600))
    | one("polyhead_evictions_total", "0+30x90", EVICTED),
    "PolyheadNoFreeSlots": one("polyhead_free_slots", "0x90"),
    "PolyheadMixedReleases": one("polyhead_info", "1x70 _x20", 'release="1"')
    | one("polyhead_info", "_x40 1x50", 'release="2"'),
}
"""What comes near an alert and is none: too short, long ago, a client's wish, or a gap."""
