"""What a torch file declares, checked before anything of it is unpickled."""

from __future__ import annotations

import pickle
import pickletools
import zipfile
from io import BytesIO
from typing import IO

_LEGACY_HEADER_PICKLES = 3
_PICKLES = ".pkl"
_MAX_OPERATIONS = 2_000_000
"""About forty are spent on a tensor."""
_MAX_NESTED = 1000
"""Values inside a tuple and its tuples: about twenty describe a tensor."""
_MARK = 0
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
_GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})
_TUPLES = frozenset({"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"})
_MAKERS = ("builtins ", "__builtin__ ", "_codecs ")
"""Modules that torch lets in, whose types take as much memory as a number tells them to."""


class Unsafe(Exception):
    """A file declares what no honest writer would."""


def check_pickle(content: bytes) -> None:
    """Hold a torch file's declared sizes against the file, and its pickles against what grows.

    Args:
        content: the whole file.

    Raises:
        Unsafe, UnpicklingError: it declares more than it has, or what no tensor needs.
        ValueError: it is damaged.
    """
    try:
        if zipfile.is_zipfile(BytesIO(content)):
            _check_archive(content)
        else:
            _check_legacy(content)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ValueError(str(error)) from error


def _check_archive(content: bytes) -> None:
    with zipfile.ZipFile(BytesIO(content)) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            message = "The archive is compressed, which torch.save never does; save it again."
            raise Unsafe(message)
        if sum(entry.file_size for entry in entries) > len(content):
            raise Unsafe("The archive declares more bytes than it has; save it again.")
        for entry in entries:
            if entry.filename.endswith(_PICKLES):
                with archive.open(entry) as stream:
                    _integers(stream)


def _check_legacy(content: bytes) -> None:
    """A pickle from before torch 1.6 declares its sizes as integers: none may exceed the file."""
    stream = BytesIO(content)
    for _ in range(_LEGACY_HEADER_PICKLES):
        _integers(stream)
    if any(value > len(content) for value in _integers(stream)):
        raise Unsafe("The file declares more bytes than it has; save it again.")
    if stream.tell() < len(content):
        _integers(stream)


def _integers(stream: IO[bytes]) -> list[int]:
    """A pickle's integers, once it is sure that building it takes no more than its length.

    Tuples deep in one another, or of one another, end the process or the day when they are hashed.

    Raises:
        Unsafe, UnpicklingError: it would take more.
        ValueError: it is no pickle.
    """
    found: list[int] = []
    nested: dict[object, int] = {}
    stack: list[int] = []
    for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if number > _MAX_OPERATIONS:
            raise Unsafe("The file holds more values than any adapter; save it again.")
        if opcode.name == "GLOBAL" and str(argument).startswith(_MAKERS):
            raise pickle.UnpicklingError(str(argument))
        if opcode.name in _PUTS:
            nested[argument] = stack[-1] if stack else 1
        elif opcode.name in _GETS:
            stack.append(nested.get(argument, 1))
        else:
            _step(opcode, stack)
            if type(argument) is int:
                found.append(argument)
    return found


def _step(opcode: pickletools.OpcodeInfo, stack: list[int]) -> None:
    """What an operation does to the numbers of values inside those on the stack."""
    kinds = [kind.name for kind in opcode.stack_before]
    taken: list[int] = []
    if "mark" in kinds:
        while stack and (top := stack.pop()) != _MARK:
            taken.append(top)
        kinds = kinds[: kinds.index("mark")]
    taken += [stack.pop() for _ in kinds if stack]
    inside = 1 + sum(taken) if opcode.name in _TUPLES else max(taken, default=1)
    if inside > _MAX_NESTED:
        raise Unsafe("The file holds values inside one another without end; save it again.")
    made = (_MARK if kind.name == "mark" else max(inside, 1) for kind in opcode.stack_after)
    stack.extend(made)
