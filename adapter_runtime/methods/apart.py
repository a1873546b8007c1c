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
        # Lists, for hundreds of tables have thousands of rows; what is as in most is left out.
        self._rows = [self._identity]
        self._scales: dict[int, float] = {}
        self._copied: set[int] = set()

    @property
    def num_bytes(self) -> int:
        """Bytes of the rows, shared ones included."""
        return (1 + self._num_written) * self._identity.nbytes

    @property
    def shared_bytes(self) -> int:
        """Bytes of the rows that are shared."""
        return (self._num_written - len(self._copied)) * self._identity.nbytes

    @property
    def _num_written(self) -> int:
        # Row 0, where it is written, is the backbone's.
        return sum(row is not self._identity for row in self._rows[1:])

    def __getitem__(self, row: int) -> Tensor:
        """One row, without its scale."""
        return self._rows[row]

    def scale(self, row: int) -> float:
        """What a row's products are multiplied by."""
        return self._scales.get(row, 1.0)

    def put(self, row: int, value: Tensor, scale: float = 1.0) -> None:
        """Write a row: the value itself, or a copy that is padded."""
        self.clear(row)
        own = value.to(self.dtype).contiguous()
        if value.shape != self._identity.shape:
            own = self._identity.clone()
            own[tuple(slice(0, size) for size in value.shape)] = value.to(own)
        if row and own.data_ptr() != value.data_ptr():
            self._copied.add(row)
        if scale != 1.0:
            self._scales[row] = scale
        self._rows[row] = own

    def clear(self, row: int) -> None:
        """Let go of a row's tensor."""
        self._rows += [self._identity] * (row + 1 - len(self._rows))
        self._rows[row] = self._identity
        self._scales.pop(row, None)
        self._copied.discard(row)


Rows = Tensor | Apart
"""A stack as products take it."""
