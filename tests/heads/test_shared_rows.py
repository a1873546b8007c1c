"""Several heads over one adapter: what they read alike runs once."""

from __future__ import annotations

from adapter_runtime.types import WorkItem
from serving.catalog.entries import read_spec
from tests.goldens import replay

HEADS = ("classification", "tagging", "answering", "masked", "parsing")


def test_heads_apart_from_their_adapter_share_its_rows() -> None:
    """Five tasks on one adapter, one of them with words: one row in the backbone."""
    engine = replay.engine("bert")
    folder = replay.checkpoints("heads", "bert")
    versions = {
        head: engine.prepare(read_spec({"name": head, "adapter": "inverse", "head": head}, folder))
        for head in HEADS
    }
    (case,) = (
        case
        for case in replay.all_cases()
        if (case.group, case.backbone, case.entry["name"]) == ("heads", "bert", "parsing")
    )
    row = case.rows()[0]
    plain = row._replace(word_starts=None)
    items = [
        WorkItem(version, row if head == "parsing" else plain, raw=True)
        for head, version in versions.items()
    ]
    result = engine.run(items)
    assert result.stats.num_tokens == len(row.input_ids)
    assert not any(isinstance(outcome, Exception) for outcome in result.outcomes)
    alone = engine.run(items[-1:]).outcomes[0]
    assert not isinstance(alone, Exception)
    together = result.outcomes[-1]
    assert not isinstance(together, Exception)
    assert abs(together["arcs"] - alone["arcs"]).max() < 1e-5
