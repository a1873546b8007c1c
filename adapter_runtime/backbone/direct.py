"""Modules that cost little to call."""

from __future__ import annotations

from typing import Any

from torch import nn


class Direct(nn.Module):
    """A module that is called without hooks, and finds its parts without a search.

    There are dozens in a layer, and each costs a short row what a small tensor operation costs.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "forward" in cls.__dict__:
            cls.__call__ = cls.forward  # type: ignore[method-assign]

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if isinstance(value, nn.Module):
            self.__dict__[name] = value
