"""The image, really built: a base of Debian's packages, a wheelhouse, and no network."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.container.dockerfile import arguments
from tests.running import ROOT

BASE = arguments()["BASE"]
COMMANDS = ("buildah", "mmdebstrap", "unshare", "setpriv", "apt-get", "make")
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PACKAGES = "python3,python3-pip,passwd"
FILES = ("Dockerfile", ".dockerignore", "Makefile", "pyproject.toml", "requirements.lock")
CONTEXT = (*FILES, "README.md", "LICENSE", "adapter_runtime", "serving", "deploy", "examples")
IMAGE = "localhost/polyhead"


class Image(NamedTuple):
    """A built image: its configuration, and where its files are mounted."""

    config: Mapping[str, Any]
    root: Path
    log: str


def missing() -> str:
    """Why the image cannot be built here; empty where it can."""
    if os.geteuid() != 0:
        return "needs root"
    lacking = [name for name in COMMANDS if shutil.which(name) is None]
    lacking += [str(path) for path in [KEYS] if not path.exists()]
    if lacking:
        return f"needs {', '.join(lacking)}, which root can install from Debian's packages"
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        return "needs the right to mount, which this container does not give"
    return ""


def run(command: Sequence[str | Path], environment: Mapping[str, str], folder: Path = ROOT) -> str:
    """What a command prints, with its errors; fails with them."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate()
    except BaseException:  # a timeout must not leave a build behind
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    assert process.returncode == 0, f"{command[0]} failed:\n{printed[-4000:]}"
    return printed


def release(folder: Path) -> None:
    """Unmount all that is mounted below a folder, be it by a build that was cut short."""
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    points = [line.split()[1] for line in lines]
    for point in reversed([point for point in points if Path(point).is_relative_to(folder)]):
        subprocess.run(["umount", "--lazy", point], check=False)


@contextmanager
def storage(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a store of its own for images, which is gone after the block."""
    environment = {
        "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        "BUILDAH_ISOLATION": "chroot",
    }
    whole = {**os.environ, **environment}
    try:
        for driver in ("overlay", "vfs"):  # the second copies, and works everywhere
            lines = ["[storage]", f'driver = "{driver}"']
            lines += [f'graphroot = "{folder}/images"', f'runroot = "{folder}/run"', ""]
            (folder / "storage.conf").write_text("\n".join(lines))
            answer = subprocess.run(
                ["buildah", "info"], env=whole, capture_output=True, check=False
            )
            if answer.returncode == 0:
                break
        yield environment
    finally:
        release(folder)
        shutil.rmtree(folder)


def options_of_apt() -> list[str]:
    """How the machine's own apt reaches its mirrors, for `mmdebstrap`."""
    ways = ("Acquire::http", "Acquire::Check-", "Acquire::Retries")
    lines = run(["apt-config", "dump"], {}).splitlines()
    return [f"--aptopt={line}" for line in lines if line.startswith(ways)]


def mirrors() -> list[str]:
    """The machine's own mirror of Debian, if it knows one."""
    command = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)"]
    lines = run([*command, "Created-By: Packages"], {}).splitlines()
    found = [line.split()[1] for line in lines if line.startswith("Debian ")]
    return [uri for uri in found if "security" not in uri][:1]


def make_base(environment: Mapping[str, str]) -> None:
    """An image of Debian's packages under the name of the base."""
    container = run(["buildah", "from", "scratch"], environment).strip()
    root = run(["buildah", "mount", container], environment).strip()
    suite = BASE.rpartition("-")[2]
    command = ["mmdebstrap", "--mode=root", "--variant=apt", "--format=directory", "--quiet"]
    command += [f"--include={PACKAGES}", "--dpkgopt=path-exclude=/usr/share/doc/*"]
    run([*command, *options_of_apt(), suite, root, *mirrors()], environment)
    run(["buildah", "commit", "--quiet", "--rm", container, BASE], environment)


def make_context(folder: Path) -> Path:
    """A copy of what the image is built from."""
    folder.mkdir()
    for name in CONTEXT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


@contextmanager
def built_image(folder: Path) -> Iterator[Image]:
    """The image, built by `make wheelhouse` and then `make image` without network."""
    with storage(folder) as environment:
        context = make_context(folder / "context")
        with ThreadPoolExecutor() as pool:
            base = pool.submit(make_base, environment)
            run(["make", "--silent", "wheelhouse"], {}, context)
            base.result()
        command = [
            "make",
            "--silent",
            "image",
            "ENGINE=buildah",
            f"IMAGE={IMAGE}",
            "IMAGE_TAG=test",
        ]
        log = run([*command, "IMAGE_OPTIONS=--pull-never --network none"], environment, context)
        shown = run(["buildah", "inspect", "--type", "image", f"{IMAGE}:test"], environment)
        container = run(["buildah", "from", "--pull-never", f"{IMAGE}:test"], environment).strip()
        root = run(["buildah", "mount", container], environment).strip()
        yield Image(json.loads(shown)["Docker"]["config"], Path(root), log)
