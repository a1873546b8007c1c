"""Exact accounting of a checkpoint's tensors: each is used, a known alias, or a problem."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from adapter_runtime.types import Note

if TYPE_CHECKING:
    from torch import Tensor


class Ledger:
    """Hands out a checkpoint's tensors once each and remembers what went wrong.

    Problems are collected rather than raised, so that one report names them all; the caller
    asks `problems` at the end. Mutable; used by one thread.

    Args:
        tensors: everything that the file holds, by its (already renamed) name.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors
        self._used: dict[str, str] = {}
        self._problems: list[Note] = []

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def names(self) -> tuple[str, ...]:
        """Every name in the file, in file order."""
        return tuple(self._tensors)

    def unused(self) -> tuple[str, ...]:
        """Names not yet taken and not marked as aliases."""
        return tuple(name for name in self._tensors if name not in self._used)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The shape of a tensor, or None where there is none of that name; takes nothing."""
        tensor = self._tensors.get(name)
        return None if tensor is None else tuple(tensor.shape)

    def peek(self, name: str) -> Tensor:
        """A tensor as the file holds it; takes nothing.

        Raises:
            KeyError: there is none of that name.
        """
        return self._tensors[name]

    def take(self, name: str, shape: Sequence[int]) -> Tensor:
        """The tensor as float32, marked as used; a problem and zeros where it does not fit.

        Args:
            name: the tensor's name.
            shape: the shape that it must have.
        """
        import torch

        tensor = self._tensors.get(name)
        if tensor is None:
            self.problem(
                "missing_tensor",
                f"{name} of shape {list(shape)} is missing; save the adapter again, or correct "
                "the configuration that asks for it.",
            )
            return _stand_in(shape)
        self._used[name] = "used"
        if tuple(tensor.shape) != tuple(shape):
            self.problem(
                "wrong_shape",
                f"{name} has shape {list(tensor.shape)}, expected {list(shape)}; "
                "is this the backbone that the adapter was trained for?",
            )
            return _stand_in(shape)
        if not tensor.is_floating_point():
            self.problem(
                "wrong_dtype",
                f"{name} holds {str(tensor.dtype).removeprefix('torch.')} values; expected "
                "floating-point weights, so save them unquantised.",
            )
            return _stand_in(shape)
        tensor = tensor.detach().to(torch.float32)
        if not bool(torch.isfinite(tensor).all()):
            self.problem("non_finite", f"{name} holds NaN or infinite values; save it again.")
        return tensor

    def alias(self, names: Iterable[str], reason: str = "alias") -> None:
        """Mark tensors as known duplicates or as redundant, so that they are not unexpected."""
        self._used.update((name, reason) for name in names if name in self._tensors)

    def problem(self, code: str, message: str) -> None:
        """Remember one reason to reject the checkpoint; once is enough."""
        if (note := Note(code, message)) not in self._problems:
            self._problems.append(note)

    @property
    def is_sound(self) -> bool:
        """Whether all that was taken so far fitted: only then may one compute with it."""
        return not self._problems

    def problems(self) -> tuple[Note, ...]:
        """All problems so far, with one `unexpected_tensor` entry per tensor nobody took."""
        extra = (
            Note(
                "unexpected_tensor",
                f"{name} of shape {list(self._tensors[name].shape)} has no place here: the "
                "configuration asks for no such tensor; use the one that it was saved with.",
            )
            for name in self.unused()
        )
        return (*self._problems, *extra)

    def accounts(self) -> Mapping[str, str]:
        """What became of each tensor: `used`, the alias' reason, or `unexpected`."""
        return {name: self._used.get(name, "unexpected") for name in self._tensors}


def _stand_in(shape: Sequence[int]) -> Tensor:
    """Zeros for a tensor that is amiss, without memory: a configuration may ask for any size."""
    import torch

    is_possible = math.prod(shape) < 1 << 60
    return torch.zeros(()).expand(tuple(shape) if is_possible else ())
