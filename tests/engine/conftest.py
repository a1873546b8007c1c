import pytest
import torch

from adapter_runtime import EngineConfig, Leaf, TaskSpec
from tests.engine.workshop import Workshop, write_task


@pytest.fixture
def opened(tmp_path):
    """Opens engines with limits, and closes them."""
    engines = []

    def build(**limits):
        folder = tmp_path / f"backbone{len(engines)}"
        folder.mkdir()
        engines.append(Workshop("bert", folder, EngineConfig(streams=2, **limits)).engine)
        return engines[-1]

    yield build
    for engine in engines:
        engine.close()


@pytest.fixture
def tasks(opened, tmp_path):
    """Three tasks: a LoRA with a classification head each."""
    facts = opened().backbone.facts
    random = torch.Generator().manual_seed(3)
    return [
        TaskSpec(name, adapter=Leaf(str(write_task(tmp_path / name, facts, random))))
        for name in "abc"
    ]
