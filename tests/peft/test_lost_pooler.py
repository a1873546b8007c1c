"""PEFT adapters on the random pooler of a backbone whose files bring none."""

from __future__ import annotations

from dataclasses import replace

from adapter_runtime.checkpoint.peft.reader import read_peft
from adapter_runtime.ledger import Ledger
from adapter_runtime.sites import Site
from tests.peft.files import backbone, config, lora_tensors, queries


def test_a_pooler_that_the_backbone_lacks_changes_nothing():
    """`all-linear` on a masked language model's folder adapts a pooler that no head may read."""
    facts = backbone().facts
    linears = {path: shape for path, shape in facts.linears.items() if path != "pooler.dense"}
    lacking = replace(facts, has_pooler=False, linears=linears)
    ledger = Ledger(queries() | lora_tensors(["pooler.dense"]))
    options = config(target_modules=["query", "pooler.dense"], task_type="FEATURE_EXTRACTION")
    parts, _ = read_peft(options, ledger, lacking)
    assert not ledger.problems()
    assert {part.point.site for part in parts} == {Site.QUERY}
