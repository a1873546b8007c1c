"""Adapters and heads by name, and which of them are active."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from adapter_runtime.checkpoint.heads import embedding_head
from adapter_runtime.engine.engine import LocalEngine
from adapter_runtime.engine.versions import find_extension, make_version
from adapter_runtime.errors import UnknownTask
from adapter_runtime.types import (
    Adapter,
    Average,
    Composition,
    Fuse,
    HeadWeights,
    Leaf,
    Merge,
    Stack,
    TaskSpec,
    TaskVersion,
    leaves,
    map_leaves,
)

Setup = str | Sequence[str] | Composition | None
"""An adapter's name, several (a Stack), a composition of names, or None for the bare backbone."""

ACTIVE: Any = object()
"""Stands for "whatever is active" where None means the bare backbone."""

_NEAR = 5
Thing = TypeVar("Thing")


class Shelf:
    """What a runtime has loaded, under the user's names.

    Args:
        engine: keeps the weights and makes versions.
    """

    def __init__(self, engine: LocalEngine) -> None:
        self.engine = engine
        self.adapters: dict[str, Adapter] = {}
        self.heads: dict[str, HeadWeights] = {}
        self.active_adapters: Composition | None = None
        self.active_head: str | None = None

    def put_adapter(self, name: str, adapter: Adapter) -> None:
        """Keep an adapter under a name, in place of an earlier one; it stays in memory."""
        self.engine.library.add(adapter.digest, adapter)
        before = self.adapters.get(name)
        self.adapters[name] = adapter
        if before is not None:
            self._forget_adapter(before.digest)

    def put_head(self, name: str, head: HeadWeights) -> None:
        """Keep a head under a name, in place of an earlier one; it stays in memory."""
        self.engine.library.add(head.spec.digest, head)
        before = self.heads.get(name)
        self.heads[name] = head
        if before is not None:
            self._forget_head(before.spec.digest)

    def _forget_adapter(self, digest: str) -> None:
        """Let the weights go unless another name still has them."""
        if all(adapter.digest != digest for adapter in self.adapters.values()):
            self.engine.library.forget(digest)
            self.engine.slots.drop(digest)

    def _forget_head(self, digest: str) -> None:
        if all(head.spec.digest != digest for head in self.heads.values()):
            self.engine.library.forget(digest)

    def adapter(self, name: str) -> Adapter:
        """The adapter of a name.

        Raises:
            UnknownTask: there is none.
        """
        return _named(name, self.adapters)

    def head(self, name: str) -> HeadWeights:
        """The head of a name.

        Raises:
            UnknownTask: there is none.
        """
        return _named(name, self.heads)

    def activate(self, setup: Setup) -> None:
        """Activate adapters and the head that has the last one's name; see the runtime."""
        if isinstance(setup, str) and setup not in self.adapters and setup in self.heads:
            self.active_adapters, self.active_head = None, setup
            return
        tree = self.tree(setup)
        self.active_adapters = tree
        last = [leaf.ref for leaf in leaves(tree)][-1:]
        if last and last[0] in self.heads:
            self.active_head = last[0]

    def remove_adapter(self, name: str) -> None:
        """Forget an adapter; nothing stays active that needs it."""
        self.adapter(name)
        self._forget_adapter(self.adapters.pop(name).digest)
        if any(leaf.ref == name for leaf in leaves(self.active_adapters)):
            self.active_adapters = None

    def remove_head(self, name: str) -> None:
        """Forget a head."""
        self.head(name)
        self._forget_head(self.heads.pop(name).spec.digest)
        if self.active_head == name:
            self.active_head = None

    def tree(self, setup: Setup) -> Composition | None:
        """A set-up as a composition of known names.

        Raises:
            UnknownTask: a name is not known.
        """
        if setup is None:
            return None
        if isinstance(setup, str):
            setup = Leaf(setup)
        elif not isinstance(setup, Leaf | Stack | Average | Fuse | Merge):
            setup = Stack(tuple(Leaf(name) for name in setup))
        for leaf in leaves(setup):
            self.adapter(leaf.ref)
        return setup

    def version_of(self, task: str | None) -> TaskVersion:
        """The adapter and head of one name, or what is active for None.

        Raises:
            UnknownTask: neither an adapter nor a head has that name.
        """
        if task is None:
            return self.version("active", self.active_adapters, self.active_head)
        if task not in self.adapters and task not in self.heads:
            raise UnknownTask(task, (*self.adapters, *self.heads)[:_NEAR])
        setup = Leaf(task) if task in self.adapters else None
        return self.version(task, setup, task if task in self.heads else None)

    def version(self, task: str, tree: Composition | None, head: str | None) -> TaskVersion:
        """A version of any adapters with any head; hidden states where the head is None.

        Raises:
            UnknownTask: a name is not known.
        """
        if head is None:
            weights = embedding_head(self.engine.backbone.sentence, {})
            self.engine.library.add(weights.spec.digest, weights)
        else:
            weights = self.head(head)
        by_digest = tree and map_leaves(tree, lambda name: self.adapter(name).digest)
        extension = find_extension([self.adapter(leaf.ref).parts for leaf in leaves(tree)])
        backbone = self.engine.backbone
        return make_version(TaskSpec(task), by_digest, weights, backbone, extension=extension)


def _named(name: str, things: Mapping[str, Thing]) -> Thing:
    if name not in things:
        raise UnknownTask(name, tuple(things)[:_NEAR])
    return things[name]
