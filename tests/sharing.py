"""Which tests run in one process, when there are several."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

_TOGETHER = ("ray", "container", "commands", "faults", "hardening", "ui")


class ByFolder(LoadScopeScheduling):
    """A file's tests stay together, and a folder's whose tests share what is slow to start."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = file.removeprefix("tests/").partition("/")[0]
        return folder if folder in _TOGETHER else file
