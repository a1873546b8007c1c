"""What tests of versions that come and go look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from adapter_runtime.backbone.facts import BackboneFacts
from adapter_runtime.engine.engine import LocalEngine
from adapter_runtime.types import Leaf, TaskSpec
from tests.engine.workshop import write_task


def folder(spec: TaskSpec) -> Path:
    """Where a task's files lie."""
    assert isinstance(spec.adapter, Leaf)
    return Path(spec.adapter.ref)


def kept(engine: LocalEngine) -> tuple[Any, ...]:
    """What the engine keeps of all versions: in the library, on host and device, promised."""
    store = engine.library.store
    return (
        len(engine.library),
        len(store),
        store.num_bytes,
        len(engine.slots),
        engine.slots.table_bytes,
        engine.heads.num_bytes,
        engine.room.widest,
        len(engine.runner.router._known),
    )


def check_integrity(engine: LocalEngine) -> None:
    """All books are right."""
    engine.slots.check_integrity()
    engine.heads.check_integrity()
    engine.library.store.check_integrity()


def rewrite(spec: TaskSpec, facts: BackboneFacts, seed: int) -> None:
    """Other weights in a task's folder."""
    write_task(folder(spec), facts, torch.Generator().manual_seed(seed))
