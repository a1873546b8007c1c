"""Reading tensors from files that are not trusted.

Pickles are read with `weights_only=True` only, and nothing is unpacked or allocated before the
declared sizes are checked.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safe
from torch import Tensor

from adapter_runtime.checkpoint.pickles import Unsafe, check_pickle
from adapter_runtime.errors import RejectedAdapter
from adapter_runtime.memory import is_out_of_memory
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Note

_MAX_HEADER_BYTES = 8 << 20
_AGAIN = "copy or save it again"
_PANIC = "PanicException"


def find_file(folder: Folder, names: Sequence[str]) -> str | None:
    """The first of these files that the folder has."""
    return next((name for name in names if folder.has(name)), None)


def read_tensors(folder: Folder, name: str) -> dict[str, Tensor]:
    """All tensors of a safetensors or torch file, on the CPU, in file order. Blocks.

    Raises:
        SourceError: the file is missing, too large or outside its folder.
        RejectedAdapter: it is damaged, unsafe, or declares more than the byte limit.
    """
    # Not mapped into memory: a file that is cut short while it is read would end the process.
    stored = folder.read_bytes(name)
    where = f"{folder.source}/{name}"
    load = _load_safe if name.endswith(".safetensors") else _load_pickle
    try:
        content = load(stored)
    except Unsafe as error:
        raise _rejected(where, "unsafe_file", str(error)) from error
    except pickle.UnpicklingError as error:
        message = f"{name} holds something else than tensors and was not opened; {_AGAIN}."
        raise _rejected(where, "unsafe_pickle", message) from error
    except (SafetensorError, RuntimeError, ValueError, KeyError, OSError, EOFError) as error:
        if is_out_of_memory(error):
            raise
        message = f"{name} is damaged or no tensor file ({_first_line(error)}); {_AGAIN}."
        raise _rejected(where, "unreadable_file", message) from error
    return _checked(content, where, name, folder.max_file_bytes)


def _load_safe(stored: bytes) -> Any:
    length = int.from_bytes(stored[:8], "little")
    if _MAX_HEADER_BYTES < length < len(stored):
        raise Unsafe("The file names more tensors than any adapter has; save it again.")
    try:
        return load_safe(stored)
    except Exception:
        raise
    except BaseException as error:
        # The reader is written in Rust: without memory it panics, and a panic is no Exception.
        if type(error).__name__ != _PANIC:
            raise
        raise MemoryError(f"The reader of safetensors found no memory ({error}).") from error


def _load_pickle(stored: bytes) -> Any:
    check_pickle(stored)
    try:
        return torch.load(BytesIO(stored), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # whatever a damaged file makes torch's own reader do
        if is_out_of_memory(error):
            raise
        raise ValueError(_first_line(error)) from error


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
