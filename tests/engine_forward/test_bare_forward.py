import pytest

from adapter_runtime.engine.forward import BatchRunner, Job
from adapter_runtime.residency.slots import SlotPool
from tests.backbone.tiny import CONFIGS, open_tiny, plain_states, random_row, saved
from tests.engine_forward.collect import Collect, gaps, largest_gap

LENGTHS = (5, 1, 17, 5, 9, 30, 2, 12)
TOLERANCE = 1e-5  # fp32


def run(model_type, jobs, num_streams=1, *, pooled=False):
    """Run jobs without adapters."""
    backbone = open_tiny(model_type)
    slots = SlotPool({}, backbone.bases, backbone.device, backbone.dtype)
    runner = BatchRunner(backbone, slots, num_streams)
    found = Collect(pooled=pooled)
    report = runner.run(jobs, found)
    runner.close()
    assert not report.errors
    return found, report


@pytest.mark.parametrize("num_streams", (1, 2))
@pytest.mark.parametrize("model_type", tuple(CONFIGS))
def test_rows_of_a_batch_equal_the_plain_model_on_each_row_alone(model_type, num_streams):
    """Packed and padded batches of mixed lengths and type ids equal Hugging Face row by row."""
    has_types = model_type in ("bert", "electra")
    rows = [random_row(n, seed, has_types=has_types) for seed, n in enumerate(LENGTHS)]
    found, _ = run(model_type, [Job(row, None) for row in rows], num_streams)
    assert gaps(found, [plain_states(model_type, row) for row in rows]) <= TOLERANCE


@pytest.mark.parametrize("model_type", ("bert", "mpnet"))
def test_equal_rows_run_once_and_answer_every_job(model_type):
    """Rows with equal tokens and types are computed once; explicit zero types are no types."""
    row, other = random_row(7, 0), random_row(7, 1)
    zeros = row._replace(type_ids=(0,) * 7)
    found, report = run(model_type, [Job(row, None), Job(other, None), Job(zeros, None)])
    assert report.num_tokens == 14
    assert gaps(found, [plain_states(model_type, each) for each in (row, other, row)]) <= TOLERANCE


@pytest.mark.parametrize("model_type", ("roberta", "xlm-roberta", "mpnet"))
def test_a_padding_token_inside_a_row_takes_no_position(model_type):
    """Positions skip padding tokens as the plain model counts them."""
    row = random_row(6, 0)
    row = row._replace(input_ids=(*row.input_ids[:3], 1, *row.input_ids[3:]))
    found, _ = run(model_type, [Job(row, None), Job(random_row(9, 1), None)])
    assert largest_gap(found.states[0], plain_states(model_type, row)) <= TOLERANCE


@pytest.mark.parametrize("model_type", ("bert", "roberta", "mpnet"))
def test_pooler_runs_on_the_rows_that_ask_for_it(model_type):
    """Pooled vectors equal the plain model's pooler, in the order asked for."""
    rows = [random_row(n, seed) for seed, n in enumerate((4, 9, 2))]
    found, _ = run(model_type, [Job(row, None) for row in rows], 2, pooled=True)
    _, plain = saved(model_type)
    for job, row in enumerate(rows):
        expected = plain.pooler(plain_states(model_type, row).unsqueeze(0))[0].detach()
        assert largest_gap(found.vectors[job], expected) <= TOLERANCE


def test_a_stream_that_fails_fails_its_own_rows_only():
    """A token id outside the vocabulary fails the rows of its stream, not those of the other."""
    backbone = open_tiny("bert")
    slots = SlotPool({}, backbone.bases, backbone.device, backbone.dtype)
    runner = BatchRunner(backbone, slots, 2)
    found = Collect()
    bad = random_row(8, 0)._replace(input_ids=(500,) * 8)
    report = runner.run([Job(bad, None), Job(random_row(7, 1), None)], found)
    runner.close()
    assert list(report.errors) == [0]
    assert list(found.states) == [1]


def test_report_counts_the_padding_that_was_avoided():
    """One padded batch of all jobs would be longer by so many tokens."""
    rows = [random_row(n, seed) for seed, n in enumerate((10, 4, 6))]
    _, report = run("bert", [Job(row, None) for row in rows])
    assert (20, 10) == (report.num_tokens, report.num_padding_avoided)
