"""The Dockerfile names only what the code and the lock have."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from serving import pulse
from serving.app import create_app
from serving.settings import PREFIX, Settings
from tests.container.dockerfile import DOCKERFILE, INSTRUCTIONS, arguments, command, last, pairs
from tests.running import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]


def test_hadolint_finds_nothing() -> None:
    """The linter has no complaint, and none is silenced."""
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stdout)
    assert "hadolint ignore" not in DOCKERFILE.read_text(encoding="utf-8")


def test_the_port_is_the_servers_default() -> None:
    """What is exposed is where the server listens when nobody says otherwise."""
    port = str(Settings.model_fields["port"].default)
    assert [port] == last("EXPOSE")
    assert f"get('POLYHEAD_PORT', '{port}')" in command("HEALTHCHECK")[2]


def test_every_variable_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image's variables are settings of the server, with values that it takes."""
    ours = {name: value for name, value in pairs("ENV").items() if name.startswith(PREFIX)}
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    taken = Settings().model_dump(include={name.removeprefix(PREFIX).lower() for name in ours})
    assert sorted(ours.values()) == sorted(taken.values())


def test_every_variable_that_is_read_is_a_setting() -> None:
    """The health check reads the server's own variable."""
    names = re.findall(PREFIX + "[A-Z_]+", command("HEALTHCHECK")[2])
    assert names
    assert {name.removeprefix(PREFIX).lower() for name in names} <= set(Settings.model_fields)


def test_the_health_check_asks_a_route_that_exists() -> None:
    """The path is one of the application's, and its patience exceeds the server's own."""
    (path,) = re.findall(r"'(/[a-z/]+)'", command("HEALTHCHECK")[2])
    source = (Path(sys.modules[create_app.__module__].__file__ or "").parent).rglob("*.py")
    assert any(f'"{path}"' in file.read_text(encoding="utf-8") for file in source)
    (options,) = last("HEALTHCHECK")
    waits = re.search(r"--timeout=(\d+)s", options)
    assert waits is not None
    assert int(waits[1]) > pulse._PATIENCE_S


def test_the_extras_exist() -> None:
    """The extras that are built in by default are the project's."""
    assert set(arguments()["EXTRAS"].split(",")) <= set(PROJECT["optional-dependencies"])


def test_the_version_is_the_projects() -> None:
    """An image that is built by hand is labelled with the version that it holds."""
    assert PROJECT["version"] == arguments()["VERSION"]


def test_the_labels_say_what_the_image_is() -> None:
    """Titles, versions and origins are where tools look for them."""
    labels = pairs("LABEL")
    wanted = ["title", "version", "revision", "source", "licenses", "base.name", "description"]
    assert {f"org.opencontainers.image.{name}" for name in wanted} <= set(labels)
    assert PROJECT["license"] == labels["org.opencontainers.image.licenses"]
    assert PROJECT["name"] == labels["org.opencontainers.image.title"]


def test_the_base_has_a_python_that_the_project_takes() -> None:
    """The base image's version of Python is one that the project supports."""
    found = re.search(r"python:(\d+\.\d+)-slim-", arguments()["BASE"])
    assert found is not None
    assert found[1] in SpecifierSet(PROJECT["requires-python"])
    assert f"Programming Language :: Python :: {found[1]}" in PROJECT["classifiers"]


def test_the_entry_point_takes_signals_itself() -> None:
    """No shell stands between the container's engine and the server, and nobody is root."""
    assert (["polyhead"], ["serve"]) == (command("ENTRYPOINT"), command("CMD"))
    assert command("ENTRYPOINT")[0] in PROJECT["scripts"]
    assert (["10001:10001"], ["SIGTERM"]) == (last("USER"), last("STOPSIGNAL"))


def test_every_package_is_copied() -> None:
    """What the wheel is made of is in the build, and the ignore file lets it through."""
    let_in = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    packages = {
        name.rstrip("*") for name in PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    }
    copied = {
        source
        for _, word, rest in INSTRUCTIONS
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert packages <= copied
    assert "*" == let_in[1]
    assert {f"!{name}" for name in copied | {"wheelhouse"}} == {
        line for line in let_in if line.startswith("!")
    }
