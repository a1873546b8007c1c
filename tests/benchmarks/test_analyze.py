"""What is to be saved by asking several tasks about one text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from benchmarks.questions.analyze import NUM_TASKS, SETS, layer_work_left, write_adapter


@pytest.mark.parametrize(
    ("name", "left"),
    (
        ("heads alone", 6 / 48),
        ("heads over one adapter", 6 / 48),
        ("adapters on the last layer", (6 + 7 * 1) / 48),
        ("adapters from layer 3 on", (6 + 7 * 3) / 48),
        ("some of each", (6 + 2 * 6 + 2 * 3 + 1) / 48),
        ("adapters on all layers", 1),
    ),
)
def test_the_work_that_is_left(name: str, left: float) -> None:
    """One row through all layers, and for every other adapter the layers from its first on."""
    assert len(SETS[name]) == NUM_TASKS
    assert layer_work_left(SETS[name]) == pytest.approx(left)


def test_layers_are_left_out_of_config_and_weights(tmp_path: Path) -> None:
    """As AdapterDrop leaves them."""
    folder = write_adapter(tmp_path / "late", 0, 4)
    told = json.loads((folder / "adapter_config.json").read_text())
    assert told["config"]["leave_out"] == [0, 1, 2, 3]
    layers = {name.split(".layer.")[1][0] for name in load_file(folder / "adapter.safetensors")}
    assert layers == {"4", "5"}
