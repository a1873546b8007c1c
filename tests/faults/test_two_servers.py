"""Two server processes on one folder of task files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.faults.conftest import Variant
from tests.faults.site import Site, is_from, until

Pair = tuple[Site, Site]


@pytest.fixture
def pair(server: Site, other: Site) -> Iterator[Pair]:
    """Both of them."""
    yield server, other
    assert other.process.poll() is None


def test_each_server_follows_what_is_put_at_the_other(
    pair: Pair, variants: Sequence[Variant]
) -> None:
    """In both directions, up to the weights, and a task deleted at one is gone at the other."""
    one, two = pair
    one.make("shared", "1", variants[0].folder)
    until(lambda: is_from(two.ask("shared"), variants[0].answers[0]))
    two.make("shared", "2", variants[1].folder)
    until(lambda: is_from(one.ask("shared"), variants[1].answers[0]))
    assert one.act("shared", "2", "rollback").status_code == 200
    until(lambda: is_from(two.ask("shared"), variants[0].answers[0]))
    assert two.client.delete("/tasks/shared").status_code == 204
    until(lambda: one.ask("shared").status_code == 404)


def test_of_two_changes_that_expect_the_same_task_one_wins(
    pair: Pair, variants: Sequence[Variant]
) -> None:
    """The other is told, and both servers end up with what the winner wrote."""
    one, two = pair
    one.make("contended", "1", variants[0].folder)
    etag = one.show("contended")["etag"]
    until(lambda: two.client.get("/tasks/contended").status_code == 200)

    def put(number: int) -> int:
        entry = {"adapter": str(variants[1 + number].folder), "id": f"of-{number}"}
        guard = {"if-match": f'"{etag.strip(chr(34))}"'}
        return pair[number].put("contended", guard, **entry).status_code

    with ThreadPoolExecutor(2) as threads:
        statuses = list(threads.map(put, range(2)))
    assert sorted(statuses) == [200, 409]
    winner = statuses.index(200)
    for site in pair:
        until(lambda site=site: is_from(site.ask("contended"), variants[1 + winner].answers[0]))
    assert one.show("contended")["etag"] == two.show("contended")["etag"]


def test_edits_by_hand_reach_both_and_broken_ones_change_neither(
    pair: Pair, catalog: Path, variants: Sequence[Variant]
) -> None:
    """A typing error is told on the task's page while the task goes on."""
    file = catalog / "edited.yaml"
    for variant in variants[:2]:
        file.write_text(yaml.safe_dump({"adapter": str(variant.folder)}))
        for site in pair:
            until(lambda site=site, v=variant: is_from(site.ask("edited"), v.answers[0]))
    for broken in ("adapter: [", "adaptor: x", "- adapter", ""):
        file.write_text(broken)
        for site in pair:
            until(lambda site=site: site.show("edited").get("reason"), pair[0].metrics)
            assert is_from(site.ask("edited"), variants[1].answers[0])
    file.write_text(yaml.safe_dump({"adapter": str(variants[2].folder)}))
    for site in pair:
        until(lambda site=site: is_from(site.ask("edited"), variants[2].answers[0]))
        assert not site.show("edited")["reason"]
