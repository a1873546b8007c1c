"""`make image`, `make wheelhouse` and the script that installs Debian's packages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.container.dockerfile import arguments
from tests.running import ROOT

VERSION = arguments()["VERSION"]
TORCH = re.findall(r"^torch==(.*)$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)[0]
ENGINES = ("docker", "podman", "buildah")


def make(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A run of make in the repository."""
    environment = {**os.environ, **variables}
    environment.pop("MAKEFLAGS", None)
    return subprocess.run(
        ["make", *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def commands(folder: Path, scripts: Mapping[str, str]) -> str:
    """A search path that begins with these made-up commands."""
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize("engine", ENGINES)
def test_each_engine_builds(engine: str, tmp_path: Path) -> None:
    """The first engine that answers gets one build with everything that labels need."""
    scripts = dict.fromkeys(ENGINES, "exit 1")
    path = commands(tmp_path, {**scripts, engine: '[ "$1" = info ] || echo "$@"'})
    done = make("--silent", "image", PATH=path)
    assert 0 == done.returncode
    word = "bud" if engine == "buildah" else "build"
    assert done.stdout.startswith(word)
    assert ("--format docker" in done.stdout) == (engine != "docker")
    assert f"--tag polyhead:{VERSION} " in done.stdout
    wanted = ("DEVICE=cpu", f"EXTRAS={arguments()['EXTRAS']}", f"VERSION={VERSION}", "REVISION=")
    assert [] == [name for name in wanted if f"--build-arg {name}" not in done.stdout]


@pytest.mark.parametrize(
    ("words", "tag"),
    (
        (("DEVICE=cuda",), f"{VERSION}-cuda"),
        (("IMAGE_EXTRAS=s3,ray",), f"{VERSION}-ray"),
        (("DEVICE=cuda", "IMAGE_EXTRAS=ray"), f"{VERSION}-cuda-ray"),
        (("IMAGE=registry.example/team/polyhead",), f"polyhead:{VERSION}"),
    ),
)
def test_variants_have_tags_of_their_own(words: tuple[str, ...], tag: str, tmp_path: Path) -> None:
    """No variant of the image takes another's name."""
    path = commands(tmp_path, {"docker": '[ "$1" = info ] || echo "$@"'})
    done = make("--silent", "image", *words, PATH=path)
    assert re.search(rf"{re.escape(tag)} ", done.stdout)


def test_no_engine_is_said_in_a_sentence(tmp_path: Path) -> None:
    """Without an engine that answers, the message names those that would do."""
    path = commands(tmp_path, dict.fromkeys(ENGINES, "exit 1"))
    done = make("--silent", "image", PATH=path)
    assert 0 != done.returncode
    assert "No container engine answers" in done.stderr
    assert all(engine in done.stderr for engine in ENGINES)


def stub(folder: Path, version: str) -> None:
    """A wheel of torch with nothing in it."""
    info = f"torch-{version}.dist-info"
    with zipfile.ZipFile(folder / f"torch-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.mark.parametrize(("device", "chosen"), (("cpu", f"{TORCH}+cpu"), ("cuda", TORCH)))
def test_each_device_gets_its_torch(device: str, chosen: str, tmp_path: Path) -> None:
    """Where both builds can be had, pip takes the one for the device, at the locked version."""
    for version in (TORCH, f"{TORCH}+cpu", f"{TORCH}+cu130", "99.0"):
        stub(tmp_path, version)
    planned = make("--dry-run", "wheelhouse", f"DEVICE={device}").stdout
    (wanted,) = re.findall(r"'(torch=[^']*)'", planned)
    assert wanted.replace(TORCH, "$version") in (ROOT / "Dockerfile").read_text()
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps"]
    pip += ["--constraint", "requirements.lock", "--no-index", "--find-links", str(tmp_path)]
    done = subprocess.run([*pip, wanted], cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"Would install torch-{chosen}\n" in done.stdout


def test_what_is_missing_for_a_wheelhouse_is_said(tmp_path: Path) -> None:
    """An index without torch's build for the CPU: the message says where that is."""
    for name in ("Makefile", "Dockerfile", "pyproject.toml", "requirements.lock", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    done = make(
        "--silent", "--directory", str(tmp_path), "wheelhouse", PIP_NO_INDEX="1", PIP_FIND_LINKS=""
    )
    assert 0 != done.returncode
    assert f"torch=={TORCH}+cpu is on" in done.stderr
    assert not list(tmp_path.glob("wheelhouse*"))


def test_who_is_not_root_reads_what_is_skipped(tmp_path: Path) -> None:
    """The script installs nothing for others than root; it names the tests, and goes on."""
    for name in ("bash", "id"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    (tmp_path / "id").unlink()
    commands(tmp_path, {"id": "echo 1000"})
    done = subprocess.run(
        ["/bin/bash", ROOT / ".ci" / "packages"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "only root can install" in done.stderr
    assert "building and starting the image" in done.stderr
