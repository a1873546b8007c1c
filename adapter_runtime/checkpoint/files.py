"""Reading tensors from files that are not trusted.

Pickles are read with `weights_only=True` only, and nothing is unpacked or allocated before the
declared sizes are checked.
"""

from __future__ import annotations

import pickle
import pickletools
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Note

_LEGACY_HEADER_PICKLES = 3
_AGAIN = "copy or save it again"


def find_file(folder: Folder, names: Sequence[str]) -> str | None:
    """The first of these files that the folder has."""
    return next((name for name in names if folder.has(name)), None)


def read_tensors(folder: Folder, name: str) -> dict[str, Tensor]:
    """All tensors of a safetensors or torch file, on the CPU, in file order. Blocks.

    Raises:
        SourceError: the file is missing, too large or outside its folder.
        RejectedAdapter: it is damaged, unsafe, or declares more than the byte limit.
    """
    path = folder.path(name)
    where = f"{folder.source}/{name}"
    load = load_file if name.endswith(".safetensors") else _load_pickle
    try:
        content = load(path)
    except _Unsafe as error:
        raise _rejected(where, "unsafe_file", str(error)) from error
    except pickle.UnpicklingError as error:
        message = f"{name} holds something else than tensors and was not opened; {_AGAIN}."
        raise _rejected(where, "unsafe_pickle", message) from error
    except (SafetensorError, RuntimeError, ValueError, KeyError, OSError, EOFError) as error:
        message = f"{name} is damaged or no tensor file ({_first_line(error)}); {_AGAIN}."
        raise _rejected(where, "unreadable_file", message) from error
    return _checked(content, where, name, folder.max_file_bytes)


class _Unsafe(Exception):
    """A file declares what no honest writer would."""


def _load_pickle(path: Path) -> Any:
    if zipfile.is_zipfile(path):
        _check_archive(path)
    else:
        _check_legacy(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (AttributeError, TypeError, IndexError, AssertionError) as error:
        raise ValueError(_first_line(error)) from error


def _check_archive(path: Path) -> None:
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise _Unsafe("The archive is compressed, which torch.save never does; save it again.")
    if sum(entry.file_size for entry in entries) > size:
        raise _Unsafe("The archive declares more bytes than it has; save it again.")


def _check_legacy(path: Path) -> None:
    """A pickle from before torch 1.6 declares its sizes as integers: none may exceed the file."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        for number in range(_LEGACY_HEADER_PICKLES + 1):
            declared = [
                argument for _, argument, _ in pickletools.genops(stream) if type(argument) is int
            ]
            if number == _LEGACY_HEADER_PICKLES and any(value > size for value in declared):
                raise _Unsafe("The file declares more bytes than it has; save it again.")


def _checked(content: Any, where: str, name: str, max_bytes: int) -> dict[str, Tensor]:
    if not isinstance(content, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        message = f"{name} must hold named tensors and nothing else; save a state_dict."
        raise _rejected(where, "unreadable_file", message)
    tensors = dict(content)
    for key, tensor in tensors.items():
        is_plain = tensor.layout is torch.strided and not tensor.is_quantized
        if not is_plain or tensor.device.type != "cpu":
            message = (
                f"{key} is a sparse, quantized or empty-storage tensor; save it as a plain one."
            )
            raise _rejected(where, "unsafe_file", message)
    # An expanded view of one number declares any size, and is paid for when it is first used.
    if sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) > max_bytes:
        message = f"{name} declares more than {max_bytes} bytes of tensors; raise max_file_bytes."
        raise _rejected(where, "too_large", message)
    return tensors


def _rejected(where: str, code: str, message: str) -> RejectedAdapter:
    return RejectedAdapter(where, [Note(code, message)])


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:200].rstrip(".") if text else type(error).__name__
