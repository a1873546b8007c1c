"""Tasks from a hub: private, moving, slow, failing, and gone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.faults.conftest import Variant
from tests.faults.site import SENTIMENT, Site, is_from, site, until
from tests.hub import SHA, Hub, Repository, serve

TOKEN = "hf_secret"
NOBODY = "http://127.0.0.1:9"
SLOW = 150_000
WEIGHTS = "adapter.safetensors"


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """A hub that asks for a token where a repository is private."""
    described = Hub({}, private=frozenset({"org/private"}), tokens={TOKEN: None})
    with serve(described) as running:
        yield running


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server has its log, its state, its cache and its catalog."""
    found = tmp_path_factory.mktemp("at-hub")
    (found / "catalog").mkdir()
    return found


@pytest.fixture(scope="module")
def server(place: Path, hub: Hub) -> Iterator[Site]:
    """A server that knows the hub and its token, with a task that needs neither."""
    with site(place / "catalog", place, variables=client(place, hub.url)) as running:
        running.make("warm", "1", SENTIMENT)
        yield running


def client(place: Path, url: str) -> Mapping[str, str]:
    """Environment of the hub's client."""
    waits = {f"HF_HUB_{what}_TIMEOUT": "2" for what in ("DOWNLOAD", "ETAG")}
    return {"HF_ENDPOINT": url, "HF_HOME": str(place / "hf"), "HF_TOKEN": TOKEN, **waits}


def publish(hub: Hub, name: str, variant: Variant) -> str:
    """A repository with one commit; returns its Source."""
    hub.repositories[name] = Repository({SHA: files(variant)}, {"main": SHA})
    return f"hf://{name}"


def files(variant: Variant) -> dict[str, bytes]:
    """What an adapter's folder holds."""
    return {path.name: path.read_bytes() for path in variant.folder.iterdir()}


def test_a_private_repository_is_read_with_the_token(
    server: Site, hub: Hub, variants: Sequence[Variant]
) -> None:
    """The token goes to the hub, and not to where large files lie."""
    server.make("private", "1", publish(hub, "org/private", variants[0]))
    assert is_from(server.ask("private"), variants[0].answers[0])
    sent = {path.split("?")[0].split("/")[1]: has_token for path, has_token in hub.authorized}
    assert sent["api"]
    assert not sent.get("lfs")


def test_a_moving_branch_moves_a_task_only_when_it_is_put_again(
    server: Site, place: Path, hub: Hub, variants: Sequence[Variant]
) -> None:
    """The task file names the commit, so that every process serves the same files."""
    source, file = publish(hub, "org/moving", variants[1]), place / "catalog" / "moving.yaml"
    assert server.put("moving", adapter=source).status_code == 201
    until(lambda: is_from(server.ask("moving"), variants[1].answers[0]))
    assert f"{source}@{SHA}" in file.read_text()
    later = hub.commit("org/moving", files(variants[2]))
    assert is_from(server.ask("moving"), variants[1].answers[0])
    assert later not in file.read_text()
    assert server.put("moving", adapter=source).status_code == 200
    until(lambda: is_from(server.ask("moving"), variants[2].answers[0]))
    assert f"{source}@{later}" in file.read_text()
    assert is_from(server.ask("moving", version=old_id(server)), variants[1].answers[0])


def old_id(server: Site) -> str:
    """The id of the first version."""
    return str(server.show("moving")["versions"][0]["id"])


def test_warm_tasks_do_not_wait_for_a_slow_hub(
    server: Site, place: Path, hub: Hub, variants: Sequence[Variant]
) -> None:
    """They are answered while another task still loads, and its clients may choose to wait."""
    publish(hub, "org/slow", variants[3])
    fault = hub.fail("slow", on=WEIGHTS, value=SLOW)
    add(place, "slow")
    until(lambda: "slow" in server.tasks())
    refused = server.ask("slow", headers={"x-wait-for-model": "false"})
    assert (refused.status_code, refused.json()["code"]) == (503, "loading")
    assert int(refused.headers["retry-after"]) >= 1
    until(lambda: server.show("slow")["state"] == "loading")
    assert {server.ask("warm").status_code for _ in range(20)} == {200}
    assert server.show("slow")["state"] == "loading"
    assert is_from(server.ask("slow"), variants[3].answers[0])
    fault.times = 0


def test_what_the_hub_spoils_is_told_and_mended(
    server: Site, place: Path, hub: Hub, variants: Sequence[Variant]
) -> None:
    """The reason is on the task's page; once the hub is well again, so are the tasks.

    They are tried again by themselves, or as soon as somebody says so.
    """
    kinds = {"status": 500, "gone": 0, "garble": 0}
    faults = []
    for number, (kind, value) in enumerate(kinds.items(), 4):
        publish(hub, f"org/{kind}", variants[number])
        faults.append(hub.fail(kind, on=fingerprint(variants[number]), value=value))
        add(place, kind)
    until(lambda: kinds.keys() <= server.tasks().keys())
    with ThreadPoolExecutor(len(kinds)) as threads:
        refused = dict(zip(kinds, threads.map(server.ask, kinds), strict=True))
    for kind, answer in refused.items():
        assert answer.status_code in (424, 503), answer.text
        assert f"hf://org/{kind}" in answer.json()["error"]
        shown = server.version(kind, "1")
        assert (shown["state"], bool(shown["reasons"])) == ("rejected", True)
    assert server.ask("warm").status_code == 200
    for fault in faults:
        fault.times = 0
    assert server.act("garble", "1", "preload").status_code == 200, server.show("garble")
    for number, kind in enumerate(kinds, 4):
        until(lambda k=kind, n=number: is_from(server.ask(k), variants[n].answers[0]))


def fingerprint(variant: Variant) -> str:
    """What the hub calls the file of an adapter's weights."""
    return hashlib.sha256((variant.folder / WEIGHTS).read_bytes()).hexdigest()


def add(place: Path, task: str) -> None:
    """Write a task file by hand, for the repository of the same name."""
    entry = {"versions": [{"id": "1", "adapter": f"hf://org/{task}"}]}
    (place / "catalog" / f"{task}.yaml").write_text(yaml.safe_dump(entry))


def test_a_download_that_is_cut_goes_on(
    server: Site, hub: Hub, variants: Sequence[Variant]
) -> None:
    """Nobody sees half a file."""
    source = publish(hub, "org/cut", variants[6])
    fault = hub.fail("cut", on=WEIGHTS, times=1, value=100_000)
    server.put("cut", adapter=source)
    until(lambda: is_from(server.ask("cut"), variants[6].answers[0]))
    assert fault.times == 0, "The download was never cut."


def test_a_restart_without_the_hub_serves_what_was_fetched(
    server: Site, place: Path, hub: Hub, variants: Sequence[Variant]
) -> None:
    """What was never fetched says why; nobody else is disturbed."""
    server.make("fetched", "1", publish(hub, "org/fetched", variants[7]))
    add(place, "cold")
    with site(place / "catalog", place, "restart", client(place, NOBODY)) as alone:
        assert is_from(alone.ask("fetched"), variants[7].answers[0])
        refused = alone.ask("cold")
        assert refused.status_code in (424, 503), refused.text
        assert "hf://org/cold" in refused.json()["error"]
        assert alone.tasks()["cold"]["state"] == "rejected"
        assert "hf://org/cold" in alone.tasks()["cold"]["reason"]
        assert alone.ask("warm").status_code == 200
