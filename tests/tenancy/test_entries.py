"""Entries that the command line writes into a keys file."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter_runtime import SettingsError
from serving.admission.key_entries import add_entry
from serving.admission.keys import hashed, new_secret, read_keys


def test_entry_is_added_to_what_stands_there(tmp_path: Path) -> None:
    """Comments and other keys stay; a new file is its owner's alone."""
    path = tmp_path / "keys.yaml"
    add_entry(path, {"name": "a", "hash": hashed(new_secret())})
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text(f"# ours\n{path.read_text()}")
    path.chmod(0o640)
    secret = new_secret()
    add_entry(
        path, {"name": "b", "hash": hashed(secret), "tasks": ["x-*"], "expires": "2090-01-01"}
    )
    assert path.read_text().startswith("# ours\n")
    assert path.stat().st_mode & 0o777 == 0o640
    ring = read_keys(path)
    found = ring.find(secret.encode())
    assert set(ring.by_name) == {"a", "b"}
    assert found is not None
    assert found.may_name("x-1")


@pytest.mark.parametrize("name", ("a", "not a name"))
def test_wrong_entry_leaves_the_file(tmp_path: Path, name: str) -> None:
    """A name that is taken, or none."""
    path = tmp_path / "keys.yaml"
    add_entry(path, {"name": "a", "hash": hashed(new_secret())})
    before = path.read_bytes()
    with pytest.raises(SettingsError):
        add_entry(path, {"name": name, "hash": hashed(new_secret())})
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["keys.yaml"]
