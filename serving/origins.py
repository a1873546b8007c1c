"""Where a task's files come from, and who may be under way from there at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from adapter_runtime import TaskSpec, leaves

HERE = ""
"""The origin of files on this machine."""
_KINDS = {"local": 0, "package": 1, "remote": 2, "hub": 3}
_SCHEMES = {"": "local", "file": "local", "pkg": "package", "hf": "hub", "@": "hub"}
_NEAR = ("local", "package")
_FAR_SHARES = 3


def source_kind(spec: TaskSpec) -> str:
    """Where a version's files come from: `local`, `package`, `remote` or `hub`, the farthest."""
    return max(map(_kind, _sources(spec)), key=_KINDS.__getitem__, default="local")


def origin_of(spec: TaskSpec) -> str:
    """Who has to answer before the files are here: the hub, or a store; `HERE` where nobody."""
    far = (source for source in _sources(spec) if _kind(source) not in _NEAR)
    return min(map(_host, far), default=HERE)


def _sources(spec: TaskSpec) -> Iterator[str]:
    yield from (leaf.ref for leaf in leaves(spec.adapter))
    if spec.head is not None:
        yield spec.head


def _kind(source: str) -> str:
    return _SCHEMES.get(_scheme(source), "remote")


def _host(source: str) -> str:
    scheme, _, rest = source.partition("://")
    return "hub" if _kind(source) == "hub" else f"{scheme}://{rest.partition('/')[0]}"


def _scheme(source: str) -> str:
    scheme, separator, _ = source.partition("://")
    if separator:
        return scheme
    return "@" if source.startswith("@") else ""


class Ways:
    """How many are under way from each origin: one that hangs must not hold the others up.

    Not thread-safe: its owner locks.

    Args:
        most: at once from one origin.

    Attributes:
        most_in_all: at once; so many remain for `HERE` that those from afar cannot fill it.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.most_in_all = (1 + _FAR_SHARES) * most
        self._counts: Counter[str] = Counter()

    def is_free(self, origin: str) -> bool:
        """Whether one more may set out."""
        num_far = self._counts.total() - self._counts[HERE]
        has_share = origin == HERE or num_far < _FAR_SHARES * self.most
        return has_share and self._counts[origin] < self.most

    def enter(self, origin: str) -> None:
        """One has set out."""
        self._counts[origin] += 1

    def leave(self, origin: str) -> None:
        """One has arrived, or given up."""
        self._counts[origin] -= 1
        if not self._counts[origin]:
            del self._counts[origin]
