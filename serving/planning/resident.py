"""Memory and processor time of a process."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path


def resident_bytes(pid: int | None = None) -> int:
    """Bytes of a process in memory now; of this one by default, 0 where nothing tells."""
    number = os.getpid() if pid is None else pid
    try:
        status = Path(f"/proc/{number}/status").read_text(encoding="utf-8")
    except OSError:
        return _asked(number)
    found = re.search(r"VmRSS:\s+(\d+)", status)
    return int(found[1]) << 10 if found else 0


def processor_s(pid: int) -> float | None:
    """Seconds that a process has run on all cores together; None where nothing tells."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _asked(pid: int) -> int:
    """As `ps` tells it, where there is no /proc, as on macOS."""
    program = shutil.which("ps")
    if program is None:
        return 0
    command = [program, "-o", "rss=", "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed
    return int(done.stdout.strip() or 0) << 10
