"""What a hub may do wrong, each through the real client: an error that says why, or the files."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from huggingface_hub import _tree_cache, close_session, constants

from adapter_runtime.errors import SourceError
from adapter_runtime.sources import hub_cache
from adapter_runtime.sources.resolve import at_hand, resolve
from adapter_runtime.sources.rules import SourceRules
from tests.hub import SHA, Hub
from tests.hub_exchange import ODD
from tests.sources.conftest import WEIGHTS, no_room, point_to

LARGE = f"hf://org/large@{SHA}"
BIN = "pytorch_adapter.bin"


def refused(source: str = LARGE, rules: SourceRules | None = None) -> str:
    with pytest.raises(SourceError) as caught:
        resolve(source, rules=rules or SourceRules())
    assert str(caught.value).startswith(source)
    return str(caught.value)


def content(source: str = LARGE) -> bytes:
    return resolve(source).path(BIN).read_bytes()


def leftovers(cache: Path) -> list[str]:
    return [path.name for path in cache.rglob("*.incomplete")]


def forget_listings(cache: Path) -> None:
    """As a cache that the client of another time filled."""
    for listing in cache.glob("*/trees/*"):
        listing.unlink()
    _tree_cache._IN_MEMORY_TREE_CACHE.clear()
    hub_cache._known.cache_clear()


@pytest.mark.parametrize("on", ("/revision/", "/tree/", "HEAD", "lfs", "adapter_config.json"))
@pytest.mark.parametrize("kind", ("status", "gone"))
def test_a_hiccup_passes(hub: Hub, kind: str, on: str) -> None:
    """One 503 or a hung-up line, at any step, costs a pause and no more."""
    hub.fail(kind, on, times=1, value=503)
    assert content("hf://org/large") == WEIGHTS


def test_a_hub_that_is_overloaded_for_a_while_is_asked_again(hub: Hub) -> None:
    """Several errors in a row, whatever the step."""
    hub.fail("status", times=4, value=500)
    assert content("hf://org/large") == WEIGHTS


@pytest.mark.parametrize("number", range(len(ODD)))
@pytest.mark.parametrize("on", ("/revision/", "/tree/"))
def test_an_answer_that_is_none_ends_in_an_error(hub: Hub, on: str, number: int) -> None:
    """A proxy's page, another program on that port, half of an answer."""
    hub.fail("odd", on, value=number)
    assert refused("hf://org/large").endswith(("check HF_ENDPOINT.", "check the Source."))


def test_a_slow_hub_is_waited_for(hub: Hub) -> None:
    """What takes longer than one timeout arrives all the same, for as long as bytes come."""
    hub.fail("slow", "lfs", value=len(WEIGHTS) // 2)
    assert content() == WEIGHTS


@pytest.mark.parametrize("at", (0, 1, 40_000))
@pytest.mark.parametrize("kind", ("cut", "reset"))
def test_a_download_that_was_cut_goes_on(
    hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch, kind: str, at: int
) -> None:
    """The client resumes where the line broke, or begins anew; the content is whole."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    hub.fail(kind, "lfs", times=2, value=at)
    assert content() == WEIGHTS
    assert leftovers(cache) == []


def test_a_hub_that_always_cuts_ends_in_an_error(hub: Hub, cache: Path) -> None:
    """Nothing half is left, and the next try is clean."""
    fault = hub.fail("cut", "lfs", value=0)
    assert "check the network" in refused()
    assert leftovers(cache) == []
    assert at_hand(LARGE) is None
    fault.times = 0
    assert content() == WEIGHTS


@pytest.mark.parametrize("on", ("/revision/", "/tree/", "HEAD", "lfs"))
def test_a_hub_that_never_answers_ends_in_an_error(hub: Hub, on: str) -> None:
    """No wait is for ever; the sentence names the setting or the network."""
    hub.fail("stall", on)
    assert any(word in refused("hf://org/large") for word in ("HF_HUB_DOWNLOAD", "the network"))


def test_content_with_another_hash_is_removed(hub: Hub, cache: Path) -> None:
    """A copy that is not what the hub announced is an error, and gone: the next try is clean."""
    fault = hub.fail("garble", "lfs")
    assert "SHA-256 is wrong" in refused()
    assert [
        path for path in cache.rglob("*") if path.is_file() and path.stat().st_size > 60000
    ] == []
    fault.times = 0
    assert content() == WEIGHTS


def test_a_wrong_blob_of_a_killed_process_is_found(hub: Hub, cache: Path) -> None:
    """What lies in the cache without a listing was never held against its hash."""
    content()
    (blob,) = (path for path in cache.glob("*/blobs/*") if path.stat().st_size == len(WEIGHTS))
    blob.write_bytes(b"x" * len(WEIGHTS))
    forget_listings(cache)
    assert "SHA-256 is wrong" in refused()
    assert content() == WEIGHTS


def test_a_file_that_was_damaged_in_the_cache_is_fetched_again(
    hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version of a hub is known by its commit, so its content must be what the commit has."""
    files = {BIN: WEIGHTS, "pytorch_model_head.bin": WEIGHTS[::-1]}
    source = f"hf://org/large@{hub.commit('org/large', files)}"
    resolve(source)
    for blob in cache.glob("*/blobs/*"):
        blob.write_bytes(b"x" * len(WEIGHTS))
    folder = resolve(source)
    assert files == {name: folder.path(name).read_bytes() for name in files}
    folder.path(BIN).write_bytes(b"y" * len(WEIGHTS))
    point_to("http://127.0.0.1:9", monkeypatch)
    assert "the hub does not answer" in refused(source)


def test_what_did_not_change_is_hashed_once(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cold start from the cache shall cost little."""
    content()
    monkeypatch.setattr(hashlib, "file_digest", lambda *args: pytest.fail("hashed again"))
    assert content() == WEIGHTS


@pytest.mark.parametrize("lie", (-5, 5, 1 << 20))
def test_a_wrong_size_in_the_listing_is_noticed_or_harmless(hub: Hub, lie: int) -> None:
    """More than announced is cut off; less is what the file itself says."""
    hub.fail("size", BIN, times=1, value=lie)
    if lie < 0:
        assert "cut off" in refused()
    else:
        assert content() == WEIGHTS


def test_a_body_without_end_is_cut_off(hub: Hub, cache: Path) -> None:
    """Long before the disk is full."""
    hub.fail("endless", "lfs")
    assert f"more than the {len(WEIGHTS)} bytes" in refused()
    assert leftovers(cache) == []


def test_a_session_that_the_client_made_anew_is_cut_off_too(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a connection that failed nobody listens to our hooks."""
    monkeypatch.setattr("adapter_runtime.sources.hub_watch._on_response", lambda response: None)
    close_session()
    hub.fail("endless", "lfs")
    assert "cut off" in refused()


def test_a_small_file_without_end_is_cut_off(hub: Hub) -> None:
    """Files that are not kept apart are counted too."""
    hub.fail("endless", "adapter_config.json")
    assert "cut off" in refused()


def test_a_compressed_body_is_not_unpacked(hub: Hub) -> None:
    """A few bytes could become as many as one likes."""
    hub.fail("zip", "adapter_config.json")
    assert "compressed" in refused()


def test_a_hub_that_asks_to_come_back_much_later_is_not_waited_for(hub: Hub) -> None:
    """The client would sleep for the hour."""
    hub.fail("wait", "lfs", value=3600)
    assert "come back in 3600 s" in refused()


def test_limits_are_held_before_anything_is_fetched(hub: Hub) -> None:
    """Per file, and for all files together."""
    assert "the limit is 100; raise max_file_bytes" in refused(rules=SourceRules((), 100))
    assert "the limit is 65537; raise max_source_bytes" in refused(
        rules=SourceRules((), 1 << 20, len(WEIGHTS) + 1)
    )
    assert set() == hub.fetched()


def test_a_full_disk_is_named(hub: Hub, cache: Path) -> None:
    """Nothing half is left; with room again the next try is clean."""
    with no_room(30_000):
        message = refused()
    assert "cannot be kept (File too large); make room, or set HF_HOME" in message
    assert leftovers(cache) == []
    assert content() == WEIGHTS


def test_a_cache_that_may_not_be_written_is_named(hub: Hub, cache: Path) -> None:
    """A file where a folder is needed stops even the system's first user."""
    cache.write_text("")
    assert "try again" in refused() or "HF_HOME" in refused()


def test_a_listing_in_pages_is_read_to_its_end(hub: Hub) -> None:
    """Large repositories are listed in several answers."""
    hub.page_size = 1
    assert content() == WEIGHTS


def test_a_hub_that_is_gone_serves_what_the_cache_has(
    hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also from a cache that has no listing, as older clients left it; that is said."""
    resolve(LARGE)
    forget_listings(cache)
    point_to("http://127.0.0.1:9", monkeypatch)
    with caplog.at_level(logging.WARNING):
        assert content() == WEIGHTS
    assert "the hub is away" in caplog.text


def test_a_process_killed_while_it_downloads_does_no_harm(
    hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next try has the whole content, and nothing of the killed one is taken for it."""
    fault = hub.fail("slow", "lfs", value=20_000)
    code = f"from adapter_runtime.sources.resolve import resolve; resolve({LARGE!r})"
    settings = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(cache)}
    with subprocess.Popen([sys.executable, "-c", code], env=settings) as process:
        while not leftovers(cache):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert leftovers(cache)
    assert at_hand(LARGE) is None
    with monkeypatch.context() as away:
        point_to("http://127.0.0.1:9", away)
        assert "the hub does not answer" in refused()
    fault.times = 0
    assert content() == WEIGHTS
    for half in cache.rglob("*.incomplete"):
        os.utime(half, (1, 1))
    resolve(f"hf://org/large@{hub.commit('org/large', {'config.json': b'{}'})}")
    assert leftovers(cache) == []


def test_a_hub_of_its_own_process_fails_on_demand(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other tests run it beside a server."""
    import httpx

    place = tmp_path / "hub" / "org" / "adapter"
    place.mkdir(parents=True)
    (place / "adapter_config.json").write_bytes(b"{}")
    command = [sys.executable, "-m", "tests.hub", str(tmp_path / "hub")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        point_to(url, monkeypatch)
        httpx.post(f"{url}/_fault", json={"kind": "status", "times": 1, "value": 500})
        assert resolve("hf://org/adapter").has("adapter_config.json")
        process.kill()
