import numpy as np
import pytest
import torch

from adapter_runtime import (
    CapacityError,
    EngineConfig,
    InvalidInput,
    Kind,
    Leaf,
    Limits,
    Overflow,
    RejectedAdapter,
    Residency,
    Row,
    RowFailed,
    SourceError,
    Stack,
    TaskSpec,
    WorkItem,
)
from adapter_runtime.checkpoint.heads.reading import new_head, write_head
from adapter_runtime.checkpoint.hub.writer import new_adapter, write_adapter
from adapter_runtime.engine.versions import make_version
from adapter_runtime.types import Site
from tests.engine.workshop import Workshop

TOLERANCE = 1e-5  # fp32


@pytest.fixture(scope="module", params=["bert", "mpnet"])
def workshop(request, tmp_path_factory):
    """A packed and a padded backbone."""
    made = Workshop(request.param, tmp_path_factory.mktemp("backbone"))
    yield made
    made.engine.close()


@pytest.fixture
def bert(tmp_path):
    """A packed backbone of the test's own."""
    made = Workshop("bert", tmp_path)
    yield made
    made.engine.close()


def mixed_items(workshop):
    """Rows of every method × head, interleaved."""
    adapters = [None, *workshop.adapters().values()]
    lanes = []
    for adapter in adapters:
        for head in workshop.heads():
            name = f"{adapter and adapter.name}-{head.spec.head_type}"
            lanes.append(workshop.items(workshop.version(name, adapter, head), raw=True))
    longest = max(map(len, lanes))
    return [lane[place] for place in range(longest) for lane in lanes if place < len(lane)]


def test_every_row_of_a_mixed_batch_equals_that_row_alone(workshop):
    """Row independence for every method × head, packed and padded, tasks interleaved."""
    items = mixed_items(workshop)
    together = workshop.engine.run(items).outcomes
    for item, mixed in zip(items, together, strict=True):
        (alone,) = workshop.engine.run([item]).outcomes
        assert alone.keys() == mixed.keys(), item.version.task
        for name, values in alone.items():
            assert np.abs(values - mixed[name]).max() <= TOLERANCE, (item.version.task, name)


def test_a_batch_leaves_nothing_pinned(workshop):
    """Pins are released after a batch, so everything could be evicted."""
    workshop.engine.run(mixed_items(workshop))
    workshop.engine.slots.check_integrity()
    for adapter in workshop.adapters():
        assert workshop.engine.slots.drop(adapter)


def test_rows_of_equal_text_and_adapter_run_once(bert):
    """Two heads over one adapter share the row."""
    adapter = bert.adapters()["lora"]
    versions = [bert.version(head.spec.head_type, adapter, head) for head in bert.heads()[:3]]
    items = [bert.items(version)[0] for version in versions]
    rows = {item.row for item in items}
    assert bert.engine.run(items).stats.num_tokens == sum(len(row.input_ids) for row in rows)


def test_an_adapter_that_overflows_fails_its_own_rows_only(bert):
    """A row with a value that is not finite gets an error; its neighbour is answered."""
    bad = bert.maker.lora("bad", Site.VALUE)
    for part in bad.parts:
        part.tensors["up"].fill_(torch.finfo(torch.float32).max)
    head = bert.heads()[1]
    items = [
        *bert.items(bert.version("bad", bad, head)),
        *bert.items(bert.version("good", None, head)),
    ]
    outcomes = bert.engine.run(items).outcomes
    assert [isinstance(outcome, RowFailed) for outcome in outcomes] == [True, True, False, False]


def test_rows_of_a_stream_that_failed_run_again_by_composition(bert, monkeypatch):
    """A crash in one adapter's work costs only that adapter's rows."""
    adapters = bert.adapters()
    head = bert.heads()[1]
    items = [
        item
        for name in ("lora", "pfeiffer")
        for item in bert.items(bert.version(name, adapters[name], head))
    ]
    route = bert.engine.runner.router.route

    def crash(compositions, spans):
        if Leaf("lora") in compositions:
            raise RuntimeError("kernel fault")
        return route(compositions, spans)

    monkeypatch.setattr(bert.engine.runner.router, "route", crash)
    outcomes = bert.engine.run(items).outcomes
    assert [isinstance(outcome, RowFailed) for outcome in outcomes] == [True, True, False, False]


def test_more_adapters_than_slots_take_turns(tmp_path):
    """With one slot, adapters are evicted and brought back, and answers stay the same."""
    workshop = Workshop("bert", tmp_path, EngineConfig(streams=1, max_slots=1))
    head, adapters = workshop.heads()[1], workshop.adapters()
    lanes = [
        workshop.items(workshop.version(name, adapters[name], head))
        for name in ("lora", "pfeiffer")
    ]
    first = [workshop.engine.run(lane).outcomes for lane in lanes]
    again = [workshop.engine.run(lane).outcomes for lane in lanes]
    assert all(
        np.array_equal(left["logits"], right["logits"])
        for one, two in zip(first, again, strict=True)
        for left, right in zip(one, two, strict=True)
    )
    both = workshop.engine.run([lanes[0][0], lanes[1][0]]).outcomes
    assert [type(outcome) for outcome in both] == [dict, CapacityError]
    workshop.engine.close()


def test_residency_follows_the_weights(bert):
    """Host after reading, device after the first batch."""
    version = bert.version("lora", bert.adapters()["lora"], bert.heads()[1])
    assert bert.engine.residency(version) is Residency.HOST
    bert.engine.run(bert.items(version))
    assert bert.engine.residency(version) is Residency.DEVICE
    assert bert.engine.stats().resident_adapters == 1


WINDOWS = Limits(8, Overflow.WINDOW)


@pytest.mark.parametrize(
    ("changes", "code"),
    (
        ({"kind": Kind.QUESTION_ANSWERING}, "kind_mismatch"),
        ({"limits": Limits(65)}, "limit_out_of_range"),
        ({"options": {"stride": 4}}, "unused_option"),
        ({"limits": WINDOWS, "options": {"stride": 8}}, "limit_out_of_range"),
        ({"limits": WINDOWS, "options": {"aggregation": "stitch"}}, "unsupported_aggregation"),
    ),
)
def test_a_task_that_contradicts_its_head_or_backbone_is_rejected(bert, changes, code):
    """Kind, limit and overflow rule must fit."""
    head = bert.heads()[1]
    with pytest.raises(RejectedAdapter) as refused:
        make_version(TaskSpec("task", **changes), None, head, bert.engine.backbone)
    assert [note.code for note in refused.value.problems] == [code]


def test_a_missing_head_is_named(bert):
    """A classification task without any head is rejected with the remedy."""
    report = bert.engine.inspect(TaskSpec("task", kind=Kind.TEXT_CLASSIFICATION))
    assert not report.accepted
    assert [note.code for note in report.problems] == ["missing_head"]


def test_the_report_of_a_bare_task_names_backbone_and_cost(bert):
    """An embedding task is accepted with its facts."""
    report = bert.engine.inspect(TaskSpec("embed"))
    assert report.accepted
    assert report.facts["backbone"]["model_type"] == "bert"
    assert report.facts["cost"]["adapter_bytes"] == 0


def test_labels_reach_the_answer(bert):
    """A head's label names are the answer's labels, scores sorted."""
    head = new_head(
        "h", "classification", {"num_labels": 2, "layers": 1}, ["no", "yes"], bert.facts
    )
    version = bert.version("labelled", None, head)
    encoded = bert.engine.encode(version, "the cat sat", {})
    items = [item for item in bert.items(version) if item.row == encoded.rows[0]]
    scores = bert.engine.decode(version, encoded, bert.engine.run(items).outcomes)
    assert {score.label for score in scores} == {"no", "yes"}
    assert scores[0].score >= scores[1].score


def test_a_folder_that_holds_only_a_head_is_checked_as_one(bert, tmp_path):
    """The doctor takes it for the task's head."""
    head = new_head("h", "classification", {"num_labels": 2, "layers": 1}, None, bert.facts)
    folder = tmp_path / "head"
    folder.mkdir()
    write_head(head, folder, bert.facts, "h")
    report = bert.engine.inspect(TaskSpec("check", adapter=Leaf(str(folder))))
    assert report.accepted, report.problems
    assert report.facts["head"]["type"] == "classification"


def test_files_that_are_not_there_cannot_be_checked(bert, tmp_path):
    """There is no verdict on nothing."""
    with pytest.raises(SourceError, match="no such folder"):
        bert.engine.inspect(TaskSpec("check", adapter=Leaf(str(tmp_path / "absent"))))


def test_loras_that_change_the_width_cannot_be_stacked(bert, tmp_path):
    """The second one's input would be the first one's output."""
    for name in ("one", "two"):
        adapter = new_adapter(name, "lora[intermediate_lora=True]", bert.facts, torch.Generator())
        (tmp_path / name).mkdir()
        write_adapter(adapter, tmp_path / name, bert.facts)
    stack = Stack((Leaf(str(tmp_path / "one")), Leaf(str(tmp_path / "two"))))
    with pytest.raises(RejectedAdapter, match="not_stackable"):
        bert.engine.prepare(TaskSpec("task", adapter=stack))


def test_a_row_that_cannot_run_fails_alone(bert):
    """A token or a token type without an embedding, and an empty row, reach no other row."""
    version = bert.version("bare", None, bert.heads()[0])
    rows = (Row((5, 6), (0, 1)), Row((5, 99_999)), Row((5, 6), (0, 2)), Row(()))
    outcomes = bert.engine.run([WorkItem(version, row) for row in rows]).outcomes
    assert [type(outcome) for outcome in outcomes] == [dict, *[InvalidInput] * 3]


def test_labels_that_are_no_text_are_rejected(bert):
    """They could not be sent to anybody."""
    head = new_head(
        "h", "classification", {"num_labels": 2, "layers": 1}, ["\ud800", "b"], bert.facts
    )
    with pytest.raises(RejectedAdapter, match="bad_label"):
        make_version(TaskSpec("task"), None, head, bert.engine.backbone)
