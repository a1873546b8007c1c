"""Versions side by side: weights, shadows, and a rollback by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import yaml

from benchmarks.variants import TEXTS
from tests.faults.canary import FLIPPED, roll_back_bad_canary
from tests.faults.conftest import Variant
from tests.faults.site import Site, is_from, until


def test_traffic_is_shared_out_exactly(server: Site, variants: Sequence[Variant]) -> None:
    """Ninety to ten, to the request, and each answer is its version's own."""
    for number in (1, 2):
        server.make("shared-out", str(number), variants[number].folder)
    shared = server.client.post("/tasks/shared-out/traffic", json={"weights": {"1": 90, "2": 10}})
    assert shared.status_code == 200, shared.text
    seen: Counter[str] = Counter()
    for _ in range(200):
        answer = server.ask("shared-out")
        version = answer.headers["x-task-version"]
        seen[version] += 1
        assert is_from(answer, variants[int(version)].answers[0])
    assert seen == {"1": 180, "2": 20}


def test_a_shadow_is_compared_and_never_answers(server: Site, variants: Sequence[Variant]) -> None:
    """Copies are counted on its page and in the metrics."""
    server.make("shadowed", "1", variants[1].folder)
    made = server.put(
        "shadowed", adapter=str(variants[2].folder), id="2", labels=FLIPPED, shadow=True
    )
    assert made.status_code == 200, made.text
    assert server.settle("shadowed", "2") == "ready"
    for number in range(12):
        answer = server.ask("shadowed", TEXTS[number % 3])
        assert is_from(answer, variants[1].answers[number % 3])
    until(
        lambda: server.count("polyhead_compared_total", "shadowed") >= 10,
        lambda: server.show("shadowed"),
    )
    traffic = server.version("shadowed", "2")["traffic"]
    assert server.version("shadowed", "2")["share"] == 0
    assert traffic["compared"] == traffic["disagreed"] >= 10


def test_a_bad_canary_is_rolled_back_by_itself(
    server: Site, catalog: Path, variants: Sequence[Variant]
) -> None:
    """On disagreement over the stated threshold: logged, visible, counted, and written down."""
    roll_back_bad_canary(server, "canary", variants[1].folder)
    events = [event for event in server.show("canary")["events"] if event["what"] == "rolled_back"]
    assert events[-1]["version"] == "2"
    assert "disagree" in events[-1]["reason"]
    assert {server.ask("canary").headers["x-task-version"] for _ in range(10)} == {"1"}
    written = yaml.safe_load((catalog / "canary.yaml").read_text())["versions"]
    assert {each["id"]: each.get("weight") for each in written} == {"1": 100, "2": 0}
