"""A server with little memory and little disk."""

from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from benchmarks.variants import write_variant
from tests.faults.conftest import Variant
from tests.faults.site import Site, is_from, site, until
from tests.hub import SHA, Hub, Repository, serve

HOST_BYTES = 96 << 20
DISK_BYTES = 4 << 20
WIDTH = 384
BYTES_PER_FACTOR = 6 * 2 * WIDTH * WIDTH * 4
HEADROOM = 32 << 20
LARGE, GIANT = 8, 16
assert LARGE * BYTES_PER_FACTOR < HOST_BYTES < GIANT * BYTES_PER_FACTOR
SIDES = {"adapter_down.0.weight": 0, "adapter_down.0.bias": 0, "adapter_up.weight": 1}


def write_wide(folder: Path, factor: int) -> Path:
    """The demo's sentiment adapter, its bottlenecks so many times wider than the backbone."""
    write_variant(folder, seed=0)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["config"]["reduction_factor"] = 1 / factor
    (folder / "adapter_config.json").write_text(json.dumps(config))
    file = folder / "adapter.safetensors"
    tensors = load_file(file)
    save_file({name: widened(name, each, factor) for name, each in tensors.items()}, file)
    return folder


def widened(name: str, tensor: torch.Tensor, factor: int) -> torch.Tensor:
    """A bottleneck's tensor at another width, the rest zero."""
    side = next((side for end, side in SIDES.items() if name.endswith(end)), None)
    if side is None:
        return tensor
    shape = list(tensor.shape)
    shape[side] = factor * WIDTH
    wide = torch.zeros(shape)
    wide.narrow(side, 0, tensor.shape[side]).copy_(tensor)
    return wide


@contextmanager
def little_memory(pid: int, num_bytes: int) -> Iterator[None]:
    """A process that may grow by so many bytes of address space and no more."""
    status = Path(f"/proc/{pid}/status").read_text()
    size = 1024 * int(re.search(r"VmSize:\s+(\d+)", status)[1])
    limits = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (size + num_bytes, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, limits)


MOUNT = f'mount -t tmpfs -o size={DISK_BYTES} tmpfs "$0" && mkdir "$0/catalog" && exec "$@"'
CHUNK = bytes(1 << 12)


class Disk:
    """A disk of the server's own, which can be filled.

    Args:
        folder: of a small file system in the server's own view; None: where those cannot be made,
            the server may write no file at all while the disk is full.
        process: the server's id.
    """

    def __init__(self, folder: Path | None, process: int) -> None:
        self.filler = None if folder is None else folder / "filler"
        self.process = process

    @contextmanager
    def full(self) -> Iterator[None]:
        """No room for a block."""
        limits = resource.prlimit(self.process, resource.RLIMIT_FSIZE)
        try:
            if self.filler is None:
                resource.prlimit(self.process, resource.RLIMIT_FSIZE, (0, limits[1]))
            else:
                fill(self.filler)
            yield
        finally:
            resource.prlimit(self.process, resource.RLIMIT_FSIZE, limits)
            if self.filler is not None:
                self.filler.unlink()


def fill(file: Path) -> None:
    """Write until nothing more fits."""
    with suppress(OSError), file.open("wb", buffering=0) as filler:
        while filler.write(CHUNK):
            continue


def can_mount(place: Path) -> bool:
    """Whether this process may make a file system in a view of its own."""
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "-m", "sh", "-c", MOUNT, str(place), "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """A hub without repositories."""
    with serve(Hub({})) as running:
        yield running


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server's disk is."""
    return tmp_path_factory.mktemp("little") / "disk"


@pytest.fixture(scope="module")
def server(place: Path, hub: Hub) -> Iterator[Site]:
    """A server whose catalog, state and caches lie on a small disk."""
    is_own = can_mount(place.parent)
    (place if is_own else place / "catalog").mkdir(parents=True)
    variables = {"HF_ENDPOINT": hub.url, "HF_HOME": str(place / "hf")}
    settings = {"state_dir": place / "state", "host_bytes": HOST_BYTES}
    through = ("unshare", "-m", "sh", "-c", MOUNT, str(place)) if is_own else ()
    with site(place / "catalog", place.parent, "server", variables, through, **settings) as running:
        yield running


@pytest.fixture
def root(server: Site, place: Path) -> Path:
    """The disk as the server sees it."""
    return Path(f"/proc/{server.process.pid}/root{place}")


@pytest.fixture
def disk(server: Site, root: Path, place: Path) -> Disk:
    """The server's disk."""
    is_own = root.stat().st_dev != place.stat().st_dev
    return Disk(root if is_own else None, server.process.pid)


def test_a_load_that_finds_no_memory_says_so_and_others_go_on(
    server: Site, variants: Sequence[Variant], tmp_path: Path
) -> None:
    """The allocation itself fails; once there is memory again, the version serves."""
    server.make("lean", "1", variants[1].folder)
    large = write_wide(tmp_path / "large", LARGE)
    with little_memory(server.process.pid, HEADROOM):
        made = server.put("large", adapter=str(large), id="1")
        assert made.status_code == 201, made.text
        assert server.settle("large", "1") == "rejected"
        reason = server.version("large", "1")["reasons"][0]
        assert "memory" in reason["message"], reason
        assert is_from(server.ask("lean"), variants[1].answers[0])
    assert server.act("large", "1", "preload").status_code == 200, server.show("large")
    assert server.ask("large").status_code == 200


def test_weights_larger_than_the_settings_allow_are_refused_with_the_reason(
    server: Site, variants: Sequence[Variant], tmp_path: Path
) -> None:
    """The old version answers on, and nothing else loses its place."""
    server.make("grown", "1", variants[0].folder)
    giant = write_wide(tmp_path / "giant", GIANT)
    assert server.put("grown", adapter=str(giant), id="2").status_code == 200
    assert server.settle("grown", "2") == "rejected"
    assert "host_bytes" in server.version("grown", "2")["reasons"][0]["message"]
    assert is_from(server.ask("grown"), variants[0].answers[0])
    refused = server.ask("grown", version="2")
    assert refused.status_code in (424, 503), refused.text
    assert "host_bytes" in refused.text


def test_a_full_disk_refuses_changes_and_loses_nothing(
    server: Site, disk: Disk, root: Path, variants: Sequence[Variant]
) -> None:
    """The error says what to do; the old version serves, and no file is half written."""
    server.make("kept", "1", variants[0].folder)
    files = {path.name: path.read_bytes() for path in (root / "catalog").glob("*.yaml")}
    with disk.full():
        for task in ("kept", "new"):
            refused = server.put(task, adapter=str(variants[1].folder), id="2")
            assert refused.status_code >= 500, refused.text
            assert "nothing has changed" in refused.json()["error"]
        assert server.client.delete("/tasks/kept/versions/1").status_code >= 400
        assert is_from(server.ask("kept"), variants[0].answers[0])
        assert server.ask("new").status_code == 404
        assert files == {path.name: path.read_bytes() for path in (root / "catalog").glob("*.yaml")}
    server.make("kept", "2", variants[1].folder)
    assert is_from(server.ask("kept"), variants[1].answers[0])
    assert not list((root / "catalog").glob(".*.tmp"))


def test_a_full_disk_keeps_no_version_from_being_checked(
    server: Site, disk: Disk, root: Path, variants: Sequence[Variant]
) -> None:
    """What cannot be remembered is found out again after a restart."""
    entry = {"adapter": str(variants[2].folder)}
    (root / "catalog" / "late.yaml").write_text(yaml.safe_dump(entry))
    until(lambda: "late" in server.tasks())
    with disk.full():
        assert is_from(server.ask("late"), variants[2].answers[0])


def test_a_full_disk_stops_a_download_and_says_so(
    server: Site, disk: Disk, root: Path, hub: Hub, variants: Sequence[Variant]
) -> None:
    """The task's page has the reason; others serve, and there is a way on once there is room."""
    server.make("beside", "1", variants[3].folder)
    content = {path.name: path.read_bytes() for path in variants[4].folder.iterdir()}
    hub.repositories["org/fetched"] = Repository({SHA: content}, {"main": SHA})
    entry = {"versions": [{"id": "1", "adapter": "hf://org/fetched"}]}
    (root / "catalog" / "fetched.yaml").write_text(yaml.safe_dump(entry))
    until(lambda: "fetched" in server.tasks())
    with disk.full():
        refused = server.ask("fetched")
        assert refused.status_code in (424, 503), refused.text
        assert "hf://org/fetched" in refused.json()["error"]
        assert server.tasks()["fetched"]["reason"]
        assert is_from(server.ask("beside"), variants[3].answers[0])
    assert server.act("fetched", "1", "preload").status_code == 200, server.show("fetched")
    assert is_from(server.ask("fetched"), variants[4].answers[0])
