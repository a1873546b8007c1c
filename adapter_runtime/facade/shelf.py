"""Adapters and heads by name, and which of them are active."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from adapter_runtime.checkpoint.heads.reading import embedding_head
from adapter_runtime.compositions import members, nesting_problem, with_children
from adapter_runtime.engine.composable import check_composition
from adapter_runtime.engine.engine import LocalEngine
from adapter_runtime.engine.library import Use
from adapter_runtime.engine.versions import find_extension, make_version
from adapter_runtime.errors import InvalidInput, UnknownTask
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
)

Setup = str | Sequence[str] | Composition | None
"""An adapter's name, several (a Stack), a composition of names, or None for the bare backbone."""

ACTIVE: Any = object()
"""Stands for "whatever is active" where None means the bare backbone."""

_NEAR = 5
Thing = TypeVar("Thing")
Item = TypeVar("Item", Adapter, HeadWeights)


class Origin(NamedTuple):
    """Where an adapter was loaded from, and with which options."""

    source: str
    options: Mapping[str, Any]


class Shelf:
    """What a runtime has loaded, under the user's names.

    Args:
        engine: keeps the weights and makes versions.
    """

    def __init__(self, engine: LocalEngine) -> None:
        self.engine = engine
        self.adapters: dict[str, Adapter] = {}
        self.origins: dict[str, Origin] = {}
        self.fusions: dict[str, Adapter] = {}
        self.heads: dict[str, HeadWeights] = {}
        self._uses: dict[tuple[str, str], Use] = {}
        self.active_adapters: Composition | None = None
        self.active_head: str | None = None

    def put_adapter(self, name: str, adapter: Adapter, origin: Origin | None = None) -> None:
        """Keep an adapter under a name, in place of an earlier one; it stays in memory."""
        self._put("adapter", self.adapters, name, adapter)
        self.origins.pop(name, None)
        if origin is not None:
            self.origins[name] = origin

    def put_fusion(self, name: str, fusion: Adapter) -> None:
        """Keep a fusion layer under a name, in place of an earlier one; it stays in memory."""
        self._put("fusion", self.fusions, name, fusion)

    def put_head(self, name: str, head: HeadWeights) -> None:
        """Keep a head under a name, in place of an earlier one; it stays in memory."""
        self._put("head", self.heads, name, head)

    def _put(self, place: str, shelf: dict[str, Item], name: str, item: Item) -> None:
        use = self.engine.library.add(item)
        self._give_back(place, name)
        self._uses[place, name] = use
        shelf[name] = item

    def _give_back(self, place: str, name: str) -> None:
        """Let the weights go unless another name still has them."""
        if (use := self._uses.pop((place, name), None)) is not None:
            self.engine.holdings.give_back([use])

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
        head = _head_name(tree)
        if head in self.heads:
            self.active_head = head

    def remove_adapter(self, name: str) -> None:
        """Forget an adapter; nothing stays active that needs it."""
        self.adapter(name)
        self.origins.pop(name, None)
        del self.adapters[name]
        self._give_back("adapter", name)
        self._deactivate(name, is_fusion=False)

    def remove_fusion(self, name: str) -> None:
        """Forget a fusion layer; nothing stays active that needs it."""
        _named(name, self.fusions)
        del self.fusions[name]
        self._give_back("fusion", name)
        self._deactivate(name, is_fusion=True)

    def _deactivate(self, name: str, *, is_fusion: bool) -> None:
        if (Leaf(name), is_fusion) in members(self.active_adapters):
            self.active_adapters = None

    def remove_head(self, name: str) -> None:
        """Forget a head."""
        self.head(name)
        del self.heads[name]
        self._give_back("head", name)
        if self.active_head == name:
            self.active_head = None

    def tree(self, setup: Setup) -> Composition | None:
        """A set-up as a composition of known names.

        Raises:
            UnknownTask: a name is not known.
            InvalidInput: it is none that can be run.
        """
        if setup is None:
            return None
        if isinstance(setup, str):
            setup = Leaf(setup)
        elif not isinstance(setup, Leaf | Stack | Average | Fuse | Merge):
            setup = Stack(tuple(Leaf(name) for name in setup))
        if problem := nesting_problem(setup):
            raise InvalidInput(f"{problem}.", "setup")
        self._by_digest(setup)
        return setup

    def _by_digest(self, tree: Composition) -> Composition:
        """A composition of names by digest."""
        if isinstance(tree, Leaf):
            return Leaf(self.adapter(tree.ref).digest)
        if isinstance(tree, Merge):
            raise InvalidInput("make the merged adapter with average_adapter first.", "setup")
        children = tuple(self._by_digest(child) for child in tree.children)
        if isinstance(tree, Fuse):
            return Fuse(children, fusion=_named(tree.fusion.ref, self.fusions).digest)
        return with_children(tree, children)

    def version_of(self, task: str | Composition | None) -> TaskVersion:
        """The adapter and head of one name or composition, or what is active for None.

        Raises:
            UnknownTask: neither an adapter nor a head has that name.
            InvalidInput, RejectedAdapter: the composition is none that can be run.
        """
        if task is None:
            return self.version("active", self.active_adapters, self.active_head)
        if not isinstance(task, str):
            head = _head_name(self.tree(task))
            return self.version(str(head), self.tree(task), head if head in self.heads else None)
        if task not in self.adapters and task not in self.heads:
            raise UnknownTask(task, (*self.adapters, *self.heads)[:_NEAR])
        setup = Leaf(task) if task in self.adapters else None
        return self.version(task, setup, task if task in self.heads else None)

    def version(self, task: str, tree: Composition | None, head: str | None) -> TaskVersion:
        """A version of any adapters with any head; hidden states where the head is None.

        Raises:
            UnknownTask: a name is not known.
            RejectedAdapter: the adapters do not compose so.
        """
        if head is None:
            weights = embedding_head(self.engine.backbone.sentence, {})
            self._put("states", {}, "", weights)
        else:
            weights = self.head(head)
        backbone, library = self.engine.backbone, self.engine.library
        by_digest = tree and self._by_digest(tree)
        notes = (
            check_composition(by_digest, library.item, backbone.facts, task) if by_digest else ()
        )
        extension = find_extension([library.item(leaf.ref).parts for leaf in leaves(by_digest)])
        return make_version(TaskSpec(task), by_digest, weights, backbone, tuple(notes), extension)


def _head_name(tree: Composition | None) -> str | None:
    """The head that goes with a composition, as the `adapters` library chooses it."""
    while isinstance(tree, Stack):
        tree = tree.children[-1]
    if isinstance(tree, Fuse):
        return tree.fusion.ref
    return tree.ref if isinstance(tree, Leaf) else None


def _named(name: str, things: Mapping[str, Thing]) -> Thing:
    if name not in things:
        raise UnknownTask(name, tuple(things)[:_NEAR])
    return things[name]
