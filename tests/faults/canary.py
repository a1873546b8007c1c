"""A canary that is wrong on purpose."""

from __future__ import annotations

from pathlib import Path

from tests.faults.site import Site, until

FLIPPED = ("positive", "negative")
RULE = {"disagreement": 0.2, "min_requests": 10}


def roll_back_bad_canary(site: Site, task: str, folder: Path) -> None:
    """A task whose version 2 gives each label the other's name, asked until its rule trips."""
    versions = [{"id": "1", "adapter": str(folder), "weight": 50}]
    assert site.put(task, versions=versions, rollback=RULE).status_code == 201
    assert site.ask(task).status_code == 200
    bad = {"adapter": str(folder), "id": "2", "labels": FLIPPED, "weight": 50}
    assert site.put(task, **bad).status_code == 200
    assert site.settle(task, "2") == "ready"

    def is_rolled_back() -> bool:
        assert site.ask(task).status_code == 200
        return bool(site.count("polyhead_rollbacks_total", task))

    until(is_rolled_back, lambda: site.show(task))
    until(lambda: site.version(task, "2")["share"] == 0, lambda: site.show(task))
