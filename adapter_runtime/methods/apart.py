"""Device tables whose rows lie where they are, for a device whose memory is the host's."""

from __future__ import annotations

import torch
from torch import Tensor


class Apart:
    """Rows of one shape, each in a tensor of its own; a row that is not written is the identity.

    Where host and device are one memory, what has the shape and the dtype is shared, not copied:
    nobody writes weights. So a scale cannot be folded into them; it stands beside.

    Args:
        shape: one row's shape.
        dtype: of all rows.
        identity: the fill value of empty rows and of padding.
    """

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, identity: float = 0.0) -> None:
        self.dtype = dtype
        self._identity = torch.full(shape, identity, dtype=dtype)
        self._rows: dict[int, Tensor] = {}
        self._scales: dict[int, float] = {}
        self._shared: set[int] = set()

    @property
    def num_bytes(self) -> int:
        """Bytes of the rows, shared ones included."""
        return (len(self._rows) + 1) * self._identity.nbytes

    @property
    def shared_bytes(self) -> int:
        """Bytes of the rows that are shared."""
        return len(self._shared) * self._identity.nbytes

    def __getitem__(self, row: int) -> Tensor:
        """One row, without its scale."""
        return self._rows.get(row, self._identity)

    def scale(self, row: int) -> float:
        """What a row's products are multiplied by."""
        return self._scales.get(row, 1.0)

    def put(self, row: int, value: Tensor, scale: float = 1.0) -> None:
        """Write a row: the value itself, or a copy that is padded."""
        self._scales[row] = scale
        self._shared.discard(row)
        if value.shape == self._identity.shape:
            self._rows[row] = own = value.to(self.dtype).contiguous()
            # Row 0, where it is written, is the backbone's.
            if row and own.data_ptr() == value.data_ptr():
                self._shared.add(row)
            return
        padded = self._identity.clone()
        padded[tuple(slice(0, size) for size in value.shape)] = value.to(padded)
        self._rows[row] = padded

    def clear(self, row: int) -> None:
        """Let go of a row's tensor."""
        self._rows.pop(row, None)
        self._scales.pop(row, None)
        self._shared.discard(row)


Rows = Tensor | Apart
"""A stack as products take it."""
