"""The `adapter:` of a task entry: a Source, a composition of Sources, or nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from adapter_runtime import (
    REFUSED,
    Average,
    Composition,
    Fuse,
    Leaf,
    Merge,
    Stack,
    absolute,
    nesting_problem,
)
from serving.errors import TaskFileError

Made = TypeVar("Made")

_MAX_DEPTH = 4
_MAX_CHILDREN = 16
_SHAPES = (
    "give a Source, {stack: [..]}, {average: [..], weights, mode}, {fuse: [..], fusion: Source}, "
    "{merge: [..], weights, strategy, svd_rank} or null"
)


class UnsupportedTree(TaskFileError):
    """A composition that is well written and can never be run."""


def read_tree(tree: Any, base: Path | str, depth: int = 0) -> Composition | None:
    """The composition of `adapter:`.

    Args:
        tree: what YAML gave; its anchors can make a few lines stand for millions of nodes.
        base: the folder, or URL, where relative paths start.
        depth: how many nodes this one lies in.

    Raises:
        TaskFileError: any other shape; UnsupportedTree where it can never be run.
    """
    if tree is None:
        return None
    if isinstance(tree, str) and tree:
        return Leaf(absolute(tree, base))
    if not isinstance(tree, dict):
        raise TaskFileError(f"adapter: {_SHAPES}.")
    kind = _kind(tree)
    given = tree[kind]
    if not isinstance(given, list) or not given:
        raise TaskFileError(f"adapter: `{kind}` takes a list of Sources.")
    if depth >= _MAX_DEPTH or len(given) > _MAX_CHILDREN:
        raise TaskFileError(
            f"adapter: compositions nest at most {_MAX_DEPTH} deep with {_MAX_CHILDREN} each."
        )
    children = tuple(_child(child, base, depth + 1) for child in given)
    node = _MAKERS[kind](children, tree, base)
    if depth == 0 and (problem := nesting_problem(node)):
        raise UnsupportedTree(f"adapter: {problem}.")
    return node


def map_tree(tree: Any, change: Callable[[str], str]) -> Any:
    """The tree, already checked, with every Source in it changed."""
    if isinstance(tree, str):
        return change(tree)
    if isinstance(tree, list):
        return [map_tree(child, change) for child in tree]
    holds = (*_KEYS, "fusion")
    return {key: map_tree(tree[key], change) if key in holds else tree[key] for key in tree}


def _kind(tree: Mapping[str, Any]) -> str:
    for key, reason in REFUSED.items():
        if key in tree:
            message = f"adapter: `{key}` {reason}; make one task for each adapter instead."
            raise UnsupportedTree(message)
    kinds = [key for key in _KEYS if key in tree]
    if len(kinds) != 1:
        raise TaskFileError(f"adapter: {_SHAPES}.")
    known = (kinds[0], *_KEYS[kinds[0]])
    unknown = [str(key) for key in tree if key not in known]
    if unknown:
        raise TaskFileError(
            f"adapter: {', '.join(unknown)} is no key of `{kinds[0]}`; known keys are "
            f"{', '.join(known)}."
        )
    return kinds[0]


def _child(tree: Any, base: Path | str, depth: int) -> Composition:
    child = read_tree(tree, base, depth)
    if child is None:
        raise TaskFileError("adapter: a composition holds Sources, not null.")
    return child


def _stack(children: tuple[Composition, ...], tree: Mapping[str, Any], base: Path | str) -> Stack:
    return Stack(children)


def _average(
    children: tuple[Composition, ...], tree: Mapping[str, Any], base: Path | str
) -> Average:
    return _made(lambda: Average(children, **_weighting(tree), **_present(tree, mode=str)))


def _fuse(children: tuple[Composition, ...], tree: Mapping[str, Any], base: Path | str) -> Fuse:
    fusion = tree.get("fusion")
    if not isinstance(fusion, str) or not fusion:
        raise TaskFileError("adapter: `fuse` needs `fusion`, the Source of its fusion layer.")
    return Fuse(children, fusion=absolute(fusion, base))


def _merge(children: tuple[Composition, ...], tree: Mapping[str, Any], base: Path | str) -> Merge:
    options = _present(tree, strategy=str, svd_rank=int)
    return _made(lambda: Merge(children, **_weighting(tree), **options))


_KEYS: Mapping[str, tuple[str, ...]] = {
    "stack": (),
    "average": ("weights", "normalize_weights", "mode"),
    "fuse": ("fusion",),
    "merge": ("weights", "normalize_weights", "strategy", "svd_rank"),
}
_MAKERS: Mapping[str, Callable[..., Composition]] = {
    "stack": _stack,
    "average": _average,
    "fuse": _fuse,
    "merge": _merge,
}


def _weighting(tree: Mapping[str, Any]) -> dict[str, Any]:
    weights = tree.get("weights")
    if weights is not None and not (isinstance(weights, list) and all(map(_is_number, weights))):
        raise TaskFileError("adapter: weights must be a list of finite numbers.")
    return {"weights": weights} | _present(tree, normalize_weights=bool)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _present(tree: Mapping[str, Any], **kinds: type[Any]) -> dict[str, Any]:
    """The options that the tree has, each of its type."""
    found = {key: tree[key] for key in kinds if tree.get(key) is not None}
    for key, value in found.items():
        if type(value) is not kinds[key]:
            name = {bool: "true or false", int: "an integer", str: "a word"}[kinds[key]]
            raise TaskFileError(f"adapter: {key} must be {name}.")
    return found


def _made(make: Callable[[], Made]) -> Made:
    try:
        return make()
    except ValueError as error:
        raise TaskFileError(f"adapter: {error}.") from error
