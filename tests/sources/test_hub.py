"""Hub Sources against a real HTTP server that speaks the hub's protocol."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapter_runtime.errors import SourceError
from adapter_runtime.sources.hub_names import HubPlace, is_hub_name
from adapter_runtime.sources.hub_names import parse_hub as parse
from adapter_runtime.sources.resolve import resolve
from adapter_runtime.sources.rules import SourceRules
from tests.hub import SHA, Hub, serve
from tests.sources.conftest import REPOSITORIES, point_to


class TestParse:
    @pytest.mark.parametrize(
        ("text", "place"),
        (
            ("org/name", HubPlace("org/name", None, Path())),
            ("bert-base-uncased", HubPlace("bert-base-uncased", None, Path())),
            ("org/name@v1", HubPlace("org/name", "v1", Path())),
            ("org/name@v1/a/b", HubPlace("org/name", "v1", Path("a/b"))),
            ("org/name/a", HubPlace("org/name", None, Path("a"))),
            ("name@v1/a", HubPlace("name", "v1", Path("a"))),
            ("org/name@refs%2Fpr%2F1/a", HubPlace("org/name", "refs/pr/1", Path("a"))),
        ),
    )
    def test_parts_of_a_source_are_told_apart(self, text: str, place: HubPlace) -> None:
        """Repository, revision and folder come out of every way to write them."""
        assert place == parse(text, f"hf://{text}")

    @pytest.mark.parametrize(
        "text", ("", "org/", "org/name@", "o rg/name", "../name", "org/name/../../x", "org/a%2Fb")
    )
    def test_what_names_no_repository_is_refused(self, text: str) -> None:
        """Broken names and folders that climb out are errors before anything is asked."""
        with pytest.raises(SourceError, match=r"names no repository|leads out"):
            parse(text, f"hf://{text}")

    def test_paths_are_not_taken_for_hub_names(self) -> None:
        """Only `name` and `org/name` could be on the hub."""
        names = [
            text for text in ("a", "a/b", "a/b@v1", "./a", "/a/b", "a/b/c") if is_hub_name(text)
        ]
        assert ["a", "a/b", "a/b@v1"] == names


class TestFetch:
    def test_only_files_that_are_read_are_fetched(self, hub: Hub) -> None:
        """Logs and documents stay on the hub."""
        folder = resolve("hf://org/adapter@v1")
        assert {"adapter_config.json", "pytorch_adapter.bin"} == hub.fetched()
        assert b"weights" == folder.path("pytorch_adapter.bin").read_bytes()
        assert SHA == folder.root.name

    def test_a_sub_folder_is_fetched_alone(self, hub: Hub) -> None:
        """Neighbours of the folder asked for are not downloaded."""
        folder = resolve("hf://org/many/a")
        assert {"a/adapter_config.json", "a/pytorch_adapter.bin"} == hub.fetched()
        assert folder.has("adapter_config.json")

    def test_a_revision_with_a_slash_is_understood(self, hub: Hub) -> None:
        """A pull request's revision can be named."""
        assert resolve("hf://org/adapter@refs%2Fpr%2F1").has("adapter_config.json")

    def test_safetensors_are_preferred_to_old_weights(self, hub: Hub) -> None:
        """A repository that holds both is downloaded once."""
        resolve("hf://org/both")
        assert "model.safetensors" in hub.fetched()
        assert "pytorch_model.bin" not in hub.fetched()

    def test_old_weights_are_fetched_where_there_is_nothing_else(self, hub: Hub) -> None:
        """A backbone of before safetensors still loads."""
        assert resolve("org/old").has("pytorch_model.bin")
        assert "tf_model.h5" not in hub.fetched()

    def test_a_local_folder_wins_over_a_hub_name(
        self, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A plain name asks the hub only where no such path exists."""
        (tmp_path / "org" / "adapter").mkdir(parents=True)
        monkeypatch.chdir(tmp_path)
        assert tmp_path / "org" / "adapter" == resolve("org/adapter").root
        assert [] == hub.paths

    def test_a_warm_cache_answers_for_a_dead_hub(
        self, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was fetched once is served when the hub is away."""
        sources = ("hf://org/adapter", "hf://org/old", "hf://org/both", "hf://org/many/a")
        warm = [resolve(source).root for source in sources]
        point_to("http://127.0.0.1:9", monkeypatch)
        assert warm == [resolve(source).root for source in sources]


class TestRefusals:
    @pytest.mark.parametrize(
        ("source", "remedy"),
        (
            ("hf://org/none", "no such repository"),
            ("org/none", "no such repository"),
            ("hf://org/gated", "HF_TOKEN"),
            ("hf://org/adapter@v9", "no such revision"),
            ("hf://org/many/c", "has no folder c"),
        ),
    )
    def test_the_error_names_source_and_remedy(self, hub: Hub, source: str, remedy: str) -> None:
        """Each way to miss a repository has its own sentence."""
        with pytest.raises(SourceError, match=f"^{source}.*: .*{remedy}"):
            resolve(source)

    def test_a_file_over_the_limit_is_not_fetched(self, hub: Hub) -> None:
        """The declared size is checked before the download."""
        with pytest.raises(SourceError, match=r"pytorch_adapter.bin has 7 bytes, the limit is 6"):
            resolve("hf://org/adapter", rules=SourceRules(max_file_bytes=6))
        assert set() == hub.fetched()

    def test_a_dead_hub_and_a_cold_cache_are_one_sentence(
        self, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The error says what to check instead of showing a connection error."""
        point_to("http://127.0.0.1:9", monkeypatch)
        with pytest.raises(SourceError, match=r"the hub does not answer.*HF_ENDPOINT"):
            resolve("hf://org/adapter")


def test_the_hubs_environment_variables_apply(tmp_path: Path) -> None:
    """HF_ENDPOINT and HF_HOME alone direct a fresh process."""
    code = "from adapter_runtime.sources.resolve import resolve; print(resolve('hf://org/adapter').root)"
    with serve(Hub(REPOSITORIES)) as hub:
        settings = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path)}
        output = subprocess.run(
            [sys.executable, "-c", code], env=settings, check=True, capture_output=True, text=True
        )
    assert tmp_path in Path(output.stdout.strip()).parents
