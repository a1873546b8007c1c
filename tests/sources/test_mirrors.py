"""Mirrors that speak only as much of the hub's protocol as its client needs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from huggingface_hub import close_session

from adapter_runtime.errors import SourceError
from adapter_runtime.sources.resolve import pin_revision, resolve
from adapter_runtime.sources.rules import SourceRules
from tests.sources.conftest import REPOSITORIES, point_to
from tests.sources.mirror import SHA, mirror


@pytest.fixture(autouse=True)
def fresh(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, sessions of no other test, and short pauses."""
    pause = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: pause(seconds / 20))
    close_session()


@pytest.mark.parametrize(
    "lacks",
    (
        set(),
        {"tree"},
        {"siblings"},
        {"sizes"},
        {"revision"},
        {"plain"},
        {"redirects"},
        {"tree", "redirects"},
    ),
    ids=lambda lacks: "-".join(sorted(lacks)),
)
def test_a_mirror_that_speaks_of_the_files_is_enough(
    monkeypatch: pytest.MonkeyPatch, lacks: set[str]
) -> None:
    """Trees or siblings, with sizes or without, ETags of any kind: what the client takes."""
    with mirror(REPOSITORIES, lacks=frozenset(lacks)) as running:
        point_to(running.url, monkeypatch)
        folder = resolve("hf://org/adapter")
        assert folder.path("pytorch_adapter.bin").read_bytes() == b"weights"
        assert not any(path.endswith("README.md") for path in running.sent)
        assert resolve(f"hf://org/many@{SHA}/a").has("adapter_config.json")
        assert pin_revision("hf://org/adapter") == f"hf://org/adapter@{SHA}"


@pytest.mark.parametrize("sha", ("abc123", "version_2", "0" * 64))
def test_commits_may_have_names_of_other_kinds(monkeypatch: pytest.MonkeyPatch, sha: str) -> None:
    """As the client takes them; once here they are served without the mirror."""
    with mirror(REPOSITORIES, sha=sha) as running:
        point_to(running.url, monkeypatch)
        assert resolve("hf://org/adapter").fingerprint() == f"org/adapter@{sha}"
    assert resolve("hf://org/adapter").has("pytorch_adapter.bin")
    assert resolve(f"hf://org/adapter@{sha}").has("pytorch_adapter.bin")


@pytest.mark.parametrize("lacks", ("tree", "sizes"))
def test_sizes_that_nobody_states_are_held_while_downloading(
    monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    """Each file, and all together."""
    rules = (SourceRules(max_file_bytes=6), SourceRules(max_source_bytes=8))
    with mirror(REPOSITORIES, lacks=frozenset({lacks})) as running:
        point_to(running.url, monkeypatch)
        for tight in rules:
            with pytest.raises(SourceError, match="cut off"):
                resolve("hf://org/adapter", rules=tight)


@pytest.mark.parametrize(
    ("traits", "remedy"),
    (
        ({"head_status": 403}, "HF_TOKEN to one that may"),
        ({"head_status": 404}, "has no such"),
        ({"lacks": frozenset({"commits"})}, "no answer of a hub.*HF_ENDPOINT"),
    ),
)
def test_a_file_that_is_refused_is_no_hub_that_is_away(
    monkeypatch: pytest.MonkeyPatch, traits: dict[str, object], remedy: str
) -> None:
    """The client says that its cache lacks it; the answer is what counts, and is asked for once."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    with mirror(REPOSITORIES, **traits) as running:
        point_to(running.url, monkeypatch)
        with pytest.raises(SourceError, match=remedy):
            resolve("hf://org/adapter")
    assert pauses == []


@pytest.mark.parametrize("source", ("hf://org/none", "hf://org/none@v1", f"hf://org/none@{SHA}"))
def test_what_a_mirror_does_not_have_is_an_error(
    monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """Its 404 has no code."""
    with mirror(REPOSITORIES) as running:
        point_to(running.url, monkeypatch)
        with pytest.raises(SourceError, match="no such repository or revision"):
            resolve(source)
