"""A container's process as an engine starts it: unprivileged, and its files cannot be written."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.container.building import Image
from tests.running import Running, free_port, wait_until_ready

_MOUNTS = """
set -e
root=$1 cache=$2 user=$3 group=$4
shift 4
mount --bind "$root" "$root"
mount --bind "$cache" "$root/cache"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in null zero random urandom; do
    touch "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
mount -o remount,bind,ro "$root/dev"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs unshare --pid --fork --mount-proc=/proc \
    --root="$root" --setuid "$user" --setgid "$group" env -i "$@"
"""


def jailed(
    image: Image, cache: Path, command: Sequence[str], variables: Mapping[str, str]
) -> list[str]:
    """A command line that runs a command in the image, alone with its own process numbers.

    Args:
        image: what is mounted as the root, read-only; its user and environment hold.
        cache: the folder that is mounted at the image's cache volume.
        command: runs as process 1.
        variables: added to the environment.
    """
    user, _, group = image.config["User"].partition(":")
    environment = [*image.config["Env"], *[f"{name}={value}" for name, value in variables.items()]]
    start = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _MOUNTS, "jail"]
    return [*start, str(image.root), str(cache), user, group, *environment, *command]


def children(parent: int) -> list[int]:
    """The numbers of a process's children; of a jail's, what runs as process 1 in it."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = status.read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if f"PPid:\t{parent}" in lines:
            found.append(int(status.parent.name))
    return found


@contextmanager
def running_image(image: Image, cache: Path, log: Path) -> Iterator[Running]:
    """The image's own command on a free loopback port for the block, ended after it."""
    port = free_port()
    variables = {"POLYHEAD_HOST": "127.0.0.1", "POLYHEAD_PORT": str(port)}
    command = [*image.config["Entrypoint"], *image.config["Cmd"]]
    with log.open("wb") as output:
        process = subprocess.Popen(
            jailed(image, cache, command, variables), stdout=output, stderr=output
        )
    try:
        server = Running(f"http://127.0.0.1:{port}", process)
        wait_until_ready(server, log)
        yield server
    finally:
        # It outlives the process that started it: changing its user has cut the tie.
        for number in children(process.pid):
            os.kill(number, signal.SIGKILL)
        process.wait()
