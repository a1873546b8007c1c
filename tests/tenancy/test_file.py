"""A keys file that is followed, however it is replaced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.admission.key_file import KeyFile
from serving.admission.usage import Usage
from serving.metrics import PrometheusRecorder
from serving.task_labels import OTHER
from tests.tenancy.conftest import Keys
from tests.tenancy.keyed import eventually


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[tuple[Path, KeyFile]]:
    """As Kubernetes mounts a Secret: a link to a file in a folder that is a link as well."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        Keys(tmp_path / name / "keys.yaml").add(name)
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "keys.yaml").symlink_to("..data/keys.yaml")
    file = KeyFile(tmp_path / "keys.yaml")
    file.start()
    yield tmp_path, file
    file.stop()


def test_link_that_is_turned_is_followed(mounted: tuple[Path, KeyFile]) -> None:
    """The file itself is never written."""
    folder, file = mounted
    assert set(file.ring.by_name) == {"one"}
    (folder / "..next").symlink_to("two")
    (folder / "..next").rename(folder / "..data")
    eventually(lambda: set(file.ring.by_name) == {"two"})
    assert file.ring.find(b"") is None


def test_change_between_reading_and_following_is_seen(tmp_path: Path) -> None:
    """A server reads the file long before it starts."""
    keys = Keys(tmp_path / "keys.yaml")
    file = KeyFile(keys.path)
    keys.add("late")
    file.start()
    eventually(lambda: "late" in file.ring.by_name)
    file.stop()
    assert len(file.ring.by_name) == 1


def test_usage_is_bounded_and_one_key_leaves_room_for_others() -> None:
    """Keys and tasks are few enough to be told apart, or share a line."""
    usage = Usage(PrometheusRecorder(), max_pairs=4)
    for task in ("a", "b", "c", "d", "a"):
        usage.answered("k", task, 1)
    found = usage.of("k", lambda name: True)
    assert {task: line["requests"] for task, line in found.items()} == {"a": 2, "b": 1, OTHER: 2}
    usage.answered("l", "e", 1)
    assert set(usage.of("l", lambda name: True)) == {"e"}


@pytest.mark.parametrize("value", ("!!bool maybe", "!!int ''", "!!timestamp x", "[", "{? [] : 1}"))
def test_file_that_no_parser_reads_is_told_and_the_next_one_counts(
    tmp_path: Path, value: str
) -> None:
    """Whatever YAML's own code makes of it: through this file keys are revoked."""
    keys = Keys(tmp_path / "keys.yaml")
    keys.add("gone")
    told: list[bool] = []
    file = KeyFile(keys.path, told.append)
    file.start()
    keys.path.write_text(f"keys: [{{name: a, hash: {value}}}]")
    eventually(lambda: told[-1:] == [False])
    assert set(file.ring.by_name) == {"gone"}
    keys.remove("gone")
    eventually(lambda: not file.ring.by_name)
    file.stop()
