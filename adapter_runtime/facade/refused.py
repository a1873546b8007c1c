"""Compositions of the `adapters` library that are none here; their names say what to do instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from adapter_runtime.compositions import REFUSED
from adapter_runtime.errors import InvalidInput


def _refuse(name: str, key: str) -> Callable[..., NoReturn]:
    def refuse(*children: Any, **options: Any) -> NoReturn:
        message = f"{name} {REFUSED[key]}; use predict(inputs, task=[name for each input])."
        raise InvalidInput(message, "setup")

    return refuse


Split = _refuse("Split", "split")
MultiTask = _refuse("MultiTask", "multi_task")
BatchSplit = _refuse("BatchSplit", "batch_split")
Parallel = _refuse("Parallel", "parallel")
