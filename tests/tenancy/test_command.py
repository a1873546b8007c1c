"""`polyhead keys`: keys that a server takes, and files that it would."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from adapter_runtime import SettingsError
from serving.admission.keys import read_keys
from serving.cli import app


def keys(*words: str) -> Result:
    """One command; an error that `main` would print is raised."""
    found = CliRunner().invoke(app, ["keys", *words])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found


def test_new_key_is_in_the_file_by_its_hash(tmp_path: Path) -> None:
    """The secret is printed once, alone on standard output, for a pipe."""
    path = tmp_path / "keys.yaml"
    options = ["--task", "a-*", "--task", "b", "--action", "admin", "--tokens-per-minute", "500"]
    options += [
        "--concurrency",
        "3",
        "--priority",
        "high",
        "--weight",
        "2",
        "--expires",
        "2090-01-31",
    ]
    secret = keys("new", "team", "--file", str(path), *options).stdout.strip()
    assert secret not in path.read_text()
    key = read_keys(path).find(secret.encode())
    assert key is not None
    assert (key.name, key.tasks, key.actions) == ("team", ("a-*", "b"), {"admin"})
    assert (key.quota.tokens_per_minute, key.concurrency, key.weight) == (500, 3, 2)
    assert (key.priority, key.has_expired) == ("high", False)


def test_new_key_without_a_file_shows_its_entry() -> None:
    """For whoever keeps the file elsewhere."""
    found = keys("new", "team")
    assert "name: team" in found.stderr
    assert found.stdout.strip() not in found.stderr


def test_wrong_key_is_not_made(tmp_path: Path) -> None:
    """Its file stays away."""
    path = tmp_path / "keys.yaml"
    for wrong in (("--action", "everything"), ("--concurrency", "0"), ("--task", "")):
        with pytest.raises(SettingsError, match="the key"):
            keys("new", "team", "--file", str(path), *wrong)
    assert not path.exists()


def test_check_lists_keys_and_says_which_have_expired(tmp_path: Path) -> None:
    """A broken file is an error that says where."""
    path = tmp_path / "keys.yaml"
    keys("new", "team", "--file", str(path), "--task", "a-*")
    keys("new", "old", "--file", str(path), "--expires", "2020-01-01")
    team, old = keys("check", str(path)).stdout.splitlines()
    assert team.split() == ["team", "predict", "a-*"]
    assert "EXPIRED" in old
    path.write_text(path.read_text() + "  - {name: x}\n")
    with pytest.raises(SettingsError, match=r"keys\[2\]"):
        keys("check", str(path))
