"""Names from AdapterHub's closed index."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants

from adapter_runtime.errors import SourceError
from adapter_runtime.sources.resolve import absolute, resolve
from tests.hub import Hub, serve
from tests.sources.conftest import ADAPTER, point_to

OLD = "@ukp/bert-base-uncased_sentiment_sst-2_pfeiffer"
TODAY = "hf://AdapterHub/bert-base-uncased_sentiment_sst-2_pfeiffer"


@pytest.mark.parametrize(
    ("source", "today"),
    (
        (OLD, TODAY),
        (f"{OLD}.json", TODAY),
        (f"{OLD}.zip", TODAY),
        (f"{OLD}@madx", f"{TODAY}@madx"),
        ("@h.t/x@refs/pr/1", "hf://AdapterHub/x@refs%2Fpr%2F1"),
        ("hf://org/name", "hf://org/name"),
    ),
)
def test_t27_old_names_are_repositories_of_one_organisation(tmp_path, source, today):
    """The folder that a file lay in no longer matters; a version is a revision."""
    assert absolute(source, tmp_path) == today


def test_a_folder_of_that_name_wins(tmp_path):
    """What lies there is what was meant."""
    (tmp_path / "@org" / "name").mkdir(parents=True)
    assert absolute("@org/name", tmp_path) == str(tmp_path / "@org" / "name")
    assert resolve("@org/name", tmp_path).root == tmp_path / "@org" / "name"


def test_old_names_are_fetched(tmp_path, monkeypatch):
    """With and without a base, from the organisation's repository."""
    repository = TODAY.removeprefix("hf://")
    with serve(Hub({repository: ADAPTER})) as running:
        point_to(running.url, monkeypatch)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        for base in (None, Path("/anywhere")):
            assert resolve(OLD, base).has("adapter_config.json")


@pytest.mark.parametrize(
    "source", ("sst-2", "sentiment/sst-2", "sentiment/sst-2@ukp", "STS/mrpc", "de/wiki@ukp")
)
def test_names_of_tasks_say_what_to_write_today(source):
    """They meant another file for every backbone, by an index that is gone."""
    with pytest.raises(SourceError, match=r"closed; name a repository instead, .*hf://AdapterHub/"):
        resolve(source)


@pytest.mark.parametrize("source", ("sst-2", "sentiment/sst-2@ukp"))
def test_names_of_tasks_are_told_from_paths_in_task_files_too(tmp_path, source):
    """A folder of that name wins; without one there is more to say than that it is missing."""
    with pytest.raises(SourceError, match="closed; name a repository instead"):
        resolve(absolute(source, tmp_path))
    (tmp_path / source).mkdir(parents=True)
    assert absolute(source, tmp_path) == str(tmp_path / source)


@pytest.mark.parametrize("source", ("@", "@ukp", "@ukp/a/b", "@/x", "@u p/x"))
def test_broken_old_names_are_refused(source):
    """The form is said."""
    with pytest.raises(SourceError, match="@org/name"):
        resolve(source)
