"""The size and documentation rules that no linter knows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60
FOLDERS = ("adapter_runtime", "serving", "deploy", "benchmarks", "examples", "tests")
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Source(NamedTuple):
    """One Python file: its path, its text, its tree."""

    path: Path
    text: str
    tree: ast.Module

    def functions(self) -> Iterator[Function]:
        """Every function and method, nested ones included."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                yield node

    def place(self, node: Function) -> str:
        """Where a function stands, for messages."""
        return f"{self.path.relative_to(ROOT)}:{node.lineno} {node.name}"


def sources() -> Iterator[Source]:
    """Every Python file of ours."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            yield Source(path, text, ast.parse(text))


SOURCES = tuple(sources())


def body_lines(function: Function) -> int:
    """Lines of a function without its docstring."""
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is None:
        return total
    return total - ((first.end_lineno or first.lineno) - first.lineno + 1)


def test_files_stay_short() -> None:
    """A file that grows past the limit holds two things."""
    long = [
        f"{source.path.relative_to(ROOT)}: {source.text.count(chr(10))}"
        for source in SOURCES
        if source.text.count("\n") > MAX_FILE_LINES
    ]
    assert [] == long


def test_functions_stay_short() -> None:
    """A function that needs scrolling is two functions."""
    long = [
        f"{source.place(function)}: {body_lines(function)}"
        for source in SOURCES
        for function in source.functions()
        if body_lines(function) > MAX_FUNCTION_LINES
    ]
    assert [] == long


def test_every_test_says_what_it_shows() -> None:
    """A test's docstring states the behaviour in plain words."""
    silent = [
        source.place(function)
        for source in SOURCES
        if source.path.is_relative_to(ROOT / "tests")
        for function in source.functions()
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]
    assert [] == silent


def test_every_module_with_code_says_what_it_is_for() -> None:
    """The first line of a file tells whether to read on."""
    silent = [
        str(source.path.relative_to(ROOT))
        for source in SOURCES
        if source.tree.body
        and not source.path.is_relative_to(ROOT / "tests")
        and not ast.get_docstring(source.tree)
    ]
    assert [] == silent
