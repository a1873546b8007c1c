"""The image is really built without network, and holds what the lock and the labels say."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.container.building import Image
from tests.container.dockerfile import arguments, command, pairs
from tests.container.jail import jailed
from tests.running import ROOT

pytestmark = pytest.mark.timeout(1500)
LOOK = """
import os
for folder in {folders}:
    try:
        open(os.path.join(folder, 'probe'), 'w').close()
        print(folder)
    except OSError:
        pass
"""


def packages(image: Image) -> Path:
    """Where Python's packages lie in the image."""
    (folder,) = image.root.glob("opt/venv/lib/python3.*/site-packages")
    return folder


def canonical(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_packages_are_the_locked_ones(image: Image) -> None:
    """Every distribution in the image has the lock's version; torch is the build for the CPU."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()[1:]
    locked = {canonical(name): version for name, version in (line.split("==") for line in lines)}
    found = {}
    for folder in packages(image).glob("*.dist-info"):
        name, _, version = folder.name.removesuffix(".dist-info").partition("-")
        found[canonical(name)] = version
        assert (folder / "METADATA").exists(), "tools that list what is inside read this file"
    assert arguments()["VERSION"] == found.pop("polyhead")
    assert f"{locked['torch']}+cpu" == found["torch"]
    found["torch"] = locked["torch"]
    assert found == {name: locked.get(name) for name in found}


def test_the_configuration_survives_the_build(image: Image) -> None:
    """User, ports, volume, signal, commands and health check are in the image itself."""
    config = image.config
    assert ("10001:10001", "SIGTERM") == (config["User"], config["StopSignal"])
    assert (["polyhead"], ["serve"]) == (config["Entrypoint"], config["Cmd"])
    assert ({"8080/tcp": {}}, {"/cache": {}}) == (config["ExposedPorts"], config["Volumes"])
    assert ["CMD", *command("HEALTHCHECK")] == config["Healthcheck"]["Test"]


def test_the_labels_are_filled_in(image: Image) -> None:
    """Every label has its value, not the name of an argument."""
    labels = image.config["Labels"]
    assert set(pairs("LABEL")) <= set(labels)
    assert not [name for name in pairs("LABEL") if "$" in labels[name]]
    assert arguments()["BASE"] == labels["org.opencontainers.image.base.name"]
    assert arguments()["VERSION"] == labels["org.opencontainers.image.version"]


def test_nothing_of_the_build_is_left(image: Image) -> None:
    """No wheelhouse, no sources, no caches, and no pip beside the server."""
    left = ("build", "context", "wheelhouse", "root/.cache", "opt/venv/bin/pip")
    assert [] == [name for name in left if (image.root / name).exists()]
    assert not (packages(image) / "pip").exists()
    assert [] == list((image.root / "tmp").iterdir())


def test_bytecode_is_there(image: Image) -> None:
    """Our modules were compiled by the build, for nothing can be written later."""
    sources = list((packages(image) / "serving").rglob("*.py"))
    assert sources
    assert all(list((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc")) for path in sources)


def test_only_the_cache_and_tmp_can_be_written(image: Image, cache: Path) -> None:
    """Its user finds no other place to write to."""
    folders = ["/", "/cache", "/dev", "/etc", "/home", "/opt/venv", "/root", "/tmp", "/var/tmp"]
    look = ["python3", "-c", LOOK.format(folders=folders)]
    done = subprocess.run(
        jailed(image, cache, look, {}), capture_output=True, text=True, check=True
    )
    assert ["/cache", "/tmp"] == done.stdout.split()


def test_what_is_asked_wrongly_is_refused_by_name(image: Image, cache: Path) -> None:
    """A setting that does not exist ends the container with a sentence and not a traceback."""
    serve = jailed(image, cache, ["polyhead", "serve"], {"POLYHEAD_TASKS": "/nowhere"})
    done = subprocess.run(serve, capture_output=True, text=True, check=False)
    assert 2 == done.returncode
    assert "/nowhere" in done.stderr
    assert "Traceback" not in done.stderr
    assert shutil.which("polyhead", path=str(image.root / "opt/venv/bin"))
