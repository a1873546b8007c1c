"""A task is replaced again and again while clients ask it."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.hot_swap import TASK, replace_under_load
from tests.faults.conftest import Variant
from tests.faults.site import Site, until

KEPT = 3
SLACK = 2


def test_replacements_under_load_lose_nothing_and_leave_nothing(
    server: Site, variants: Sequence[Variant]
) -> None:
    """Every answer is of the version in its header; weights and file handles are given back."""
    folders, answers = zip(*variants, strict=True)
    found = replace_under_load(server.server, folders, answers, num_clients=8, rest_s=0.2)
    assert found["failed_or_wrong"] == 0, found
    assert found["versions_that_answered"] == len(folders)
    before, after = found["before"], found["after"]
    assert after["resident_bytes"] == before["resident_bytes"], found
    assert after["files"] <= before["files"] + SLACK, found
    until(lambda: len(server.show(TASK)["versions"]) <= KEPT + 2, lambda: server.show(TASK))
    shown = server.show(TASK)
    assert shown["version"] == f"v{len(folders) - 1}"
    assert len(shown["versions"]) + len(shown["retired"]) == len(folders)
