"""In which numbers a backbone computes, and what that leaves as it is."""

from pathlib import Path

import pytest
import torch

from adapter_runtime import EngineConfig, SettingsError, WorkItem
from adapter_runtime.engine.open import has_native_bfloat16, pick_dtype
from serving.settings import Settings

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
WORDS = [2, 7, 11, 5, 9, 3, 8]


@pytest.mark.parametrize("native", (True, False))
def test_auto_follows_the_documented_rule(monkeypatch, native):
    """bfloat16 on CUDA; on CPU only for serving, and only where it is multiplied natively."""
    found = {"avx512_bf16": native, "amx_bf16": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    fast = "bfloat16" if native else "float32"
    assert pick_dtype(EngineConfig(prefer_speed=True), CPU) == fast
    assert pick_dtype(EngineConfig(), CPU) == "float32"
    assert pick_dtype(EngineConfig(), CUDA) == "bfloat16"
    assert pick_dtype(EngineConfig(dtype="float32", prefer_speed=True), CPU) == "float32"


def test_serving_prefers_speed_and_other_commands_do_not():
    """Scored files and admission reports keep their numbers."""
    settings = Settings(tasks="/somewhere")
    assert settings.engine_config().prefer_speed
    assert not settings.engine_config(is_serving=False).prefer_speed


def test_int8_on_cuda_is_refused_with_the_remedy():
    """It is a matter of CPUs."""
    with pytest.raises(SettingsError, match="use bfloat16"):
        pick_dtype(EngineConfig(dtype="int8"), CUDA)


def test_native_bfloat16_is_asked_of_the_processor():
    """Linux names the same instructions."""
    flags = Path("/proc/cpuinfo").read_text()
    assert has_native_bfloat16() == ("avx512_bf16" in flags or "amx_bf16" in flags)


@pytest.mark.parametrize(("dtype", "gap"), (("float32", 1e-5), ("bfloat16", 0.1), ("int8", 0.1)))
def test_every_dtype_answers_with_adapter_and_head(opened, tasks, dtype, gap):
    """Heads answer in float32 whatever the backbone computes in, near to exact numbers."""
    engine, exact = opened(dtype=dtype), opened()
    assert engine.info.dtype == dtype
    logits = []
    for each in (engine, exact):
        version = each.prepare(tasks[0])
        row = each.encode(version, "any words at all", {}).rows[0]._replace(input_ids=tuple(WORDS))
        (outcome,) = each.run([WorkItem(version, row, raw=True)]).outcomes
        logits.append(outcome["logits"])
    assert logits[0].dtype == logits[1].dtype
    assert abs(logits[0] - logits[1]).max() < gap


@pytest.mark.parametrize("dtype", ("bfloat16", "int8"))
def test_a_row_of_a_mixed_batch_equals_the_row_alone(opened, tasks, dtype):
    """Neither neighbours nor their adapters change an answer by more than the dtype's own step."""
    engine = opened(dtype=dtype)
    versions = [engine.prepare(task) for task in tasks]
    items = [
        WorkItem(version, engine.encode(version, "some words " * (1 + number), {}).rows[0])
        for number, version in enumerate(versions * 3)
    ]
    together = engine.run(items).outcomes
    for item, outcome in zip(items, together, strict=True):
        (alone,) = engine.run([item]).outcomes
        assert abs(outcome["logits"] - alone["logits"]).max() < 0.02


def test_verdicts_of_one_dtype_are_not_those_of_another(opened):
    """What is remembered of a version's examples holds for the numbers that they were tried in."""
    engines = [opened(dtype=dtype) for dtype in ("float32", "bfloat16", "int8")]
    assert len({engine.identity() for engine in engines}) == 3
