"""Revisions, commits and tokens: what is asked of the hub, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants

from adapter_runtime.errors import SourceError, SourceRefused
from adapter_runtime.sources.resolve import at_hand, pin_revision, resolve
from adapter_runtime.sources.rules import SourceRules
from tests.hub import SHA, Hub
from tests.sources.conftest import point_to

NOWHERE = "http://127.0.0.1:9"


class TestPin:
    @pytest.mark.parametrize(
        ("source", "expected"),
        (
            ("hf://org/adapter", f"hf://org/adapter@{SHA}"),
            ("hf://org/adapter@v1", f"hf://org/adapter@{SHA}"),
            ("hf://org/many@refs%2Fpr%2F1/a", f"hf://org/many@{SHA}/a"),
            ("hf://org/many/a/", f"hf://org/many@{SHA}/a"),
        ),
    )
    def test_a_revision_becomes_the_commit_that_it_names(
        self, hub: Hub, source: str, expected: str
    ) -> None:
        """Every process that reads the pinned Source serves the same files."""
        assert pin_revision(source) == expected

    @pytest.mark.parametrize(
        "source", (f"hf://org/x@{SHA}/a", "./a", "/a", "pkg://m/a", "s3://b/a", "@org/x", "org/x")
    )
    def test_everything_else_comes_back_unasked(self, hub: Hub, source: str) -> None:
        """A commit can never mean anything else, and other Sources have none."""
        assert pin_revision(source) == source
        assert hub.paths == []

    def test_a_dead_hub_is_what_the_cache_remembers(
        self, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The branch as it was when it was asked for last."""
        pinned = pin_revision("hf://org/adapter@v1")
        point_to(NOWHERE, monkeypatch)
        assert pin_revision("hf://org/adapter@v1") == pinned
        with pytest.raises(SourceError, match="the hub does not answer"):
            pin_revision("hf://org/adapter@main")

    def test_a_moving_branch_moves_and_a_commit_stays(self, hub: Hub) -> None:
        """The next pin sees the new commit; what was pinned still reads the old files."""
        before = pin_revision("hf://org/adapter")
        files = {"adapter_config.json": b"[1]"}
        after = hub.commit("org/adapter", files)
        assert pin_revision("hf://org/adapter") == f"hf://org/adapter@{after}"
        assert resolve(before).read_json("adapter_config.json") == {}
        assert resolve("hf://org/adapter").read_json("adapter_config.json") == [1]

    def test_a_hub_that_names_no_commit_is_refused(
        self, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What it says becomes the name of a folder here."""
        repository = hub.repositories["org/adapter"]
        repository.refs["main"] = "../../x"
        repository.commits["../../x"] = {}
        with pytest.raises(SourceError, match="names no commit"):
            resolve("hf://org/adapter")

    def test_the_rules_are_asked_before_the_hub(self, hub: Hub) -> None:
        """A refused repository is not even looked up."""
        with pytest.raises(SourceRefused):
            pin_revision("hf://org/adapter", SourceRules(("hf://other",)))
        assert hub.paths == []


class TestWarmCache:
    def test_a_commit_that_is_whole_asks_no_network(
        self, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A cold start from the cache waits for nobody."""
        source = f"hf://org/many@{SHA}/a"
        first = resolve(source).root
        asked = len(hub.paths)
        assert resolve(source).root == first
        assert len(hub.paths) == asked

    def test_offline_mode_serves_the_cache(self, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        """HF_HUB_OFFLINE with a warm cache needs no hub; with a cold one it says so at once."""
        warm = resolve("hf://org/adapter").root
        asked = len(hub.paths)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert resolve("hf://org/adapter").root == warm
        with pytest.raises(SourceError, match="HF_HUB_OFFLINE"):
            resolve("hf://org/large")
        assert len(hub.paths) == asked

    def test_one_folder_of_a_repository_is_not_taken_for_another(self, hub: Hub) -> None:
        """Only the files of the folder that was asked for are there."""
        resolve(f"hf://org/many@{SHA}/a")
        assert at_hand(f"hf://org/many@{SHA}/b") is None
        assert resolve(f"hf://org/many@{SHA}/b").has("pytorch_adapter.bin")

    def test_at_hand_is_what_the_cache_has(self, hub: Hub) -> None:
        """Branches too, as the cache remembers them; nothing is asked."""
        assert at_hand("hf://org/adapter") is None
        assert hub.paths == []
        folder = resolve("hf://org/adapter")
        asked = len(hub.paths)
        kept = at_hand("hf://org/adapter")
        assert kept
        assert kept.root == folder.root
        assert len(hub.paths) == asked

    def test_files_that_vanished_from_the_cache_are_fetched_again(
        self, hub: Hub, cache: Path
    ) -> None:
        """Somebody cleaned up."""
        source = f"hf://org/adapter@{SHA}"
        (resolve(source).root / "pytorch_adapter.bin").unlink()
        assert at_hand(source) is None
        assert resolve(source).has("pytorch_adapter.bin")

    def test_the_fingerprint_of_a_hub_is_its_commit(self, hub: Hub) -> None:
        """No file is read for it, and it is the same wherever the cache lies."""
        assert resolve("hf://org/many@v1/a").fingerprint() == f"org/many@{SHA}/a"
        assert resolve("hf://org/adapter").fingerprint() == f"org/adapter@{SHA}"


class TestTokens:
    def test_a_token_opens_a_private_repository(
        self, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It goes to the hub and not to the host that large files are redirected to."""
        monkeypatch.setenv("HF_TOKEN", "hf_all")
        assert resolve("hf://org/private").has("pytorch_adapter.bin")
        assert {True} == {told for path, told in hub.authorized if "/lfs/" not in path}
        assert {False} == {told for path, told in hub.authorized if "/lfs/" in path}

    def test_a_token_from_the_clients_own_file_is_used(
        self, hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As `hf auth login` leaves it."""
        (cache.parent / "token").write_text("hf_all")
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache.parent / "token"))
        assert resolve("hf://org/private").has("adapter_config.json")

    @pytest.mark.parametrize(
        ("token", "source", "remedy"),
        (
            (None, "hf://org/private", "private one.*set HF_TOKEN to one that may"),
            ("hf_none", "hf://org/private", "private one.*set HF_TOKEN to one that may"),
            ("hf_wrong", "hf://org/private", "refuses the token .401.; set HF_TOKEN"),
            ("hf_wrong", f"hf://org/private@{SHA}", "refuses the token .401.; set HF_TOKEN"),
            (None, f"hf://org/private@{SHA}", "private one.*set HF_TOKEN to one that may"),
            (None, "hf://org/gated", "accept its terms"),
            ("hf_all", "hf://org/gated", "accept its terms"),
        ),
    )
    def test_each_refusal_names_its_remedy(
        self,
        hub: Hub,
        monkeypatch: pytest.MonkeyPatch,
        token: str | None,
        source: str,
        remedy: str,
    ) -> None:
        """No token, one that is wrong, one that may not."""
        if token:
            monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(SourceError, match=remedy):
            resolve(source)

    def test_a_repository_that_was_closed_is_not_served_from_the_cache(self, hub: Hub) -> None:
        """A hub that says no is no hub that is away."""
        resolve("hf://org/adapter")
        hub.private = frozenset({"org/adapter"})
        with pytest.raises(SourceError, match="private one"):
            resolve("hf://org/adapter")
