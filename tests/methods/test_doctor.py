"""The doctor accepts every checkpoint that the goldens prove."""

from __future__ import annotations

from functools import cache

import pytest

from adapter_runtime import EngineConfig, Leaf, Stack, TaskSpec
from adapter_runtime.engine.engine import LocalEngine
from tests.methods import golden


@cache
def engine(model_type: str) -> LocalEngine:
    """An engine on a golden backbone."""
    return LocalEngine(golden.backbone(model_type), EngineConfig(streams=1), golden.folder_of)


@pytest.mark.parametrize(("model_type", "name"), golden.ALL)
def test_every_golden_is_accepted_with_every_tensor_accounted_for(
    model_type: str, name: str
) -> None:
    """No problem, and no tensor of unknown use."""
    case = golden.case_of(model_type, name)
    leaves = tuple(Leaf(path) for path in case.get("stack") or [case["folder"]])
    tree = leaves[0] if len(leaves) == 1 else Stack(leaves)
    spec = TaskSpec("golden", adapter=tree, options=case.get("options", {}))
    report = engine(model_type).inspect(spec)
    assert report.accepted, report.problems
    fates = {fate for adapter in report.facts["adapters"] for fate in adapter["tensors"].values()}
    assert "unexpected" not in fates
    acts_nowhere = "empty_adapter" in {note.code for note in report.warnings}
    assert acts_nowhere or "used" in fates
