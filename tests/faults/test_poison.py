"""A version whose weights overflow for some texts only."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import torch
from safetensors.torch import load_file, save_file

from benchmarks.variants import TEXTS, write_variant
from tests.faults.conftest import Variant
from tests.faults.site import SENTIMENT, Site, is_from, until

DEADLY = "zyzzyva quux xylophone"
HALF = 0.6 * torch.finfo(torch.float32).max
STEEP = 1e4
HEAD = "model_head.safetensors"


def states(server: Site) -> torch.Tensor:
    """What a head reads of each harmless text, and last of the deadly one."""
    options = {"pooling": "cls", "normalize": False}
    server.make("states", "1", SENTIMENT, kind="feature-extraction", options=options)
    found = [server.ask("states", text).json() for text in (*TEXTS, DEADLY)]
    return torch.tensor(found).squeeze(1)


def write_poison(folder: Path, read: torch.Tensor) -> Path:
    """The demo's sentiment adapter with finite weights whose logit is infinite for one text.

    A hidden unit of the head is 1 for that text and -1 for all others; the logit adds it, times a
    number that is half too large, to that number.
    """
    write_variant(folder, seed=0, strength=0)
    tensors = load_file(folder / HEAD)
    names = {name.split("sentiment.")[1]: name for name in tensors}
    direction = read[-1] - read[:-1].mean(0)
    reach = read @ direction
    limit = reach[-1] - 0.2 * (reach[-1] - reach[:-1].max())
    steep = STEEP / float(reach[-1] - limit)
    tensors[names["1.weight"]][0] = steep * direction
    tensors[names["1.bias"]][0] = -steep * limit
    tensors[names["4.weight"]][0] = 0
    tensors[names["4.weight"]][0, 0] = tensors[names["4.bias"]][0] = HALF
    save_file(tensors, folder / HEAD)
    return folder


def ask_all(server: Site, inputs: Sequence[tuple[str, str]]) -> list[httpx.Response]:
    """Many requests at once."""
    with ThreadPoolExecutor(len(inputs)) as threads:
        return list(threads.map(lambda each: server.ask(*each), inputs))


def test_a_version_that_overflows_is_quarantined_and_its_neighbours_are_answered(
    server: Site, variants: Sequence[Variant], tmp_path: Path
) -> None:
    """An older version takes over; when its time has come, the newer one is checked and serves."""
    poison = write_poison(tmp_path / "poison", states(server))
    server.make("mood", "1", variants[0].folder)
    server.make("neighbour", "1", variants[1].folder)
    server.make("mood", "2", poison)
    assert server.ask("mood").headers["x-task-version"] == "2"

    calls = [("neighbour", TEXTS[number % 3]) for number in range(15)]
    answers = ask_all(server, [*calls[:8], ("mood", DEADLY), *calls[8:]])
    deadly = answers.pop(8)
    assert (deadly.status_code, deadly.json()["code"]) == (500, "version_failed"), deadly.text
    for (_, text), answer in zip(calls, answers, strict=True):
        assert is_from(answer, variants[1].answers[TEXTS.index(text)]), answer.text

    until(lambda: server.count("polyhead_quarantines_total", "mood") == 1)
    events = {(event["what"], event["version"]) for event in server.show("mood")["events"]}
    assert ("quarantined", "2") in events
    if server.version("mood", "2")["state"] == "quarantined":
        refused = server.ask("mood", version="2")
        assert (refused.status_code, refused.json()["code"]) == (503, "quarantined")
        assert is_from(server.ask("mood"), variants[0].answers[0])
    until(lambda: server.version("mood", "2")["state"] == "ready", lambda: server.show("mood"))
    until(lambda: server.ask("mood").headers["x-task-version"] == "2")


def test_a_canary_that_fails_is_rolled_back_by_its_error_rate(
    server: Site, variants: Sequence[Variant], tmp_path: Path
) -> None:
    """Though it is out of the traffic after its first failure: what it misses counts."""
    poison = write_poison(tmp_path / "poison", states(server))
    entry = {
        "versions": [
            {"id": "1", "adapter": str(variants[0].folder), "weight": 50},
            {"id": "2", "adapter": str(poison), "weight": 50},
        ],
        "rollback": {"error_rate": 0.3, "min_requests": 10},
    }
    assert server.put("mood", **entry).status_code == 201
    until(lambda: [each["state"] for each in server.show("mood")["versions"]] == ["ready"] * 2)
    for _ in range(40):
        server.ask("mood", DEADLY)
    until(lambda: [each["weight"] for each in server.show("mood")["versions"]][1] == 0)
    bad = server.show("mood")["versions"][1]
    assert "error rate" in bad["rolled_back"]
    assert {server.ask("mood").headers["x-task-version"] for _ in range(4)} == {"1"}
