import pytest
import torch

from adapter_runtime.backbone import quantized
from adapter_runtime.backbone.load import load_backbone
from adapter_runtime.backbone.quantized import quantise
from adapter_runtime.backbone.routing import Routing
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.engine.fast import FastRouter
from adapter_runtime.engine.forward import BatchRunner, Job
from adapter_runtime.engine.reference import ReferenceRouter
from adapter_runtime.engine.runs import join_prefixes
from adapter_runtime.methods.table import METHODS
from adapter_runtime.residency.slots import SlotPool
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Leaf, Site, Stack
from tests.backbone.tiny import CONFIGS, open_tiny, random_row, saved
from tests.engine_forward.adapters import Maker, union
from tests.engine_forward.collect import Collect, gaps, largest_gap

TOLERANCE = 1e-5  # fp32
NORMS = (Site.ATTENTION_NORM, Site.FFN_NORM, Site.EMBEDDINGS_NORM)


def make_adapters(backbone):
    """Adapters whose points, tables and methods overlap in every way."""
    make = Maker(backbone.facts)
    gated = {"use_gating": True, "original_ln_before": True}
    adapters = [
        make.lora("lora-a", Site.QUERY, Site.VALUE),
        make.lora("lora-b", Site.QUERY, Site.VALUE),
        make.lora("lora-wide", Site.VALUE, Site.FFN_IN, Site.POOLER, rank=12),
        make.lora("lora-gated", Site.QUERY, Site.FFN_OUT, gated=True),
        make.bottleneck("pfeiffer", Site.FFN, original_ln_before=True),
        make.bottleneck("houlsby", Site.ATTENTION, Site.FFN),
        make.bottleneck("gated", Site.FFN, **gated),
        make.bottleneck("parallel", Site.ATTENTION, Site.FFN, is_parallel=True, scaling=4.0),
        make.bias("norms", *NORMS),
        make.bias("biases", Site.QUERY, Site.ATTENTION_OUT, *NORMS, Site.POOLER),
        make.input_scale("scaled", Site.FFN_OUT),
    ]
    pfeiffer_norms = union(
        "union",
        make.bottleneck("", Site.FFN, original_ln_before=True),
        make.bias("", *NORMS),
        make.lora("", Site.QUERY),
    )
    return {adapter.digest: adapter for adapter in (*adapters, pfeiffer_norms)}


COMPOSITIONS = (
    None,
    *map(Leaf, ("lora-a", "lora-b", "lora-wide", "lora-gated", "pfeiffer", "houlsby", "gated")),
    *map(Leaf, ("parallel", "norms", "biases", "scaled", "union")),
    Stack((Leaf("lora-a"), Leaf("lora-b"))),
    Stack((Leaf("pfeiffer"), Leaf("houlsby"))),
    Stack((Leaf("houlsby"), Stack((Leaf("norms"), Leaf("parallel"), Leaf("union"))))),
    Stack((Leaf("scaled"), Leaf("lora-wide"))),
)


class Bench:
    """One backbone with all adapters resident, and its runners."""

    def __init__(self, model_type):
        self.backbone = open_tiny(model_type)
        self.adapters = make_adapters(self.backbone)
        backbone = self.backbone
        self.slots = SlotPool(METHODS, backbone.bases, backbone.device, backbone.dtype)
        for adapter in self.adapters.values():
            self.slots.acquire(adapter)

    def run(self, jobs, num_streams=1, *, fast=True, pooled=True):
        reference = ReferenceRouter(self.adapters.__getitem__, METHODS)
        router = None if fast else reference
        runner = BatchRunner(self.backbone, self.slots, num_streams, router)
        found = Collect(pooled=pooled and self.backbone.facts.has_pooler)
        report = runner.run(jobs, found)
        runner.close()
        assert not report.errors, report.errors
        return found


def interleaved_jobs():
    """Every composition with rows of several lengths, tasks interleaved."""
    lengths = (7, 3, 12)
    return [
        Job(random_row(length, 100 * turn + number), composition)
        for turn, length in enumerate(lengths)
        for number, composition in enumerate(COMPOSITIONS)
    ]


@pytest.fixture(scope="module", params=tuple(CONFIGS))
def bench(request):
    """The bench of one architecture."""
    return Bench(request.param)


@pytest.mark.parametrize("num_streams", (1, 2))
def test_each_row_of_a_mixed_batch_equals_the_row_alone(bench, num_streams):
    """Rows of all methods, Stacks and no adapter share a batch and do not see each other."""
    jobs = interleaved_jobs()
    mixed = bench.run(jobs, num_streams)
    for number, job in enumerate(jobs):
        alone = bench.run([job])
        assert largest_gap(mixed.states[number], alone.states[0]) <= TOLERANCE
        for vector in alone.vectors.values():
            assert largest_gap(mixed.vectors[number], vector) <= TOLERANCE


def test_the_fast_path_equals_the_reference_path(bench):
    """Stacked tables and runs compute what the plain loop over segments computes."""
    jobs = interleaved_jobs()
    reference = bench.run(jobs, fast=False)
    fast = bench.run(jobs)
    assert gaps(fast, [reference.states[job] for job in range(len(jobs))]) <= TOLERANCE
    for number, vector in reference.vectors.items():
        assert largest_gap(fast.vectors[number], vector) <= TOLERANCE


def test_every_adapter_changes_its_rows(bench):
    """No method is silently skipped: each composition moves the states, or at least the pooler."""
    row = random_row(9, 3)
    found = bench.run([Job(row, composition) for composition in COMPOSITIONS])
    bare = found.states[0]
    for number in range(1, len(COMPOSITIONS)):
        assert largest_gap(found.states[number], bare) > 1e-3


def test_the_reference_path_is_differentiable(bench):
    """A loss on the states reaches every factor of an adapter."""
    adapter = Maker(bench.backbone.facts, 5).lora("trained", Site.QUERY, Site.FFN_IN)
    leaves = [tensor.requires_grad_() for part in adapter.parts for tensor in part.tensors.values()]
    router = ReferenceRouter({"trained": adapter}.__getitem__, METHODS)
    row = random_row(6, 0)
    spans = RowSpans([0], [6], 6)
    work = router.route([Leaf("trained")], spans)
    bench.backbone.forward([row], Routing(bench.backbone.layout, spans, work)).sum().backward()
    assert all(leaf.grad is not None for leaf in leaves)


def test_a_stack_of_prefixes_stands_in_the_order_of_the_library():
    """It puts each before the one before, which T5's biases by distance tell apart."""
    first, second = torch.zeros(2, 3, 4), torch.ones(2, 1, 4)
    keys, values = join_prefixes([(first, first), (second, second)])
    assert keys[0, :, 0].tolist() == values[0, :, 0].tolist() == [1.0, 0.0, 0.0, 0.0]


def test_an_adapter_that_stays_remembers_none_that_left(bench):
    """Else one that is pinned under ever new others would keep a little of each."""
    backbone, make = bench.backbone, Maker(bench.backbone.facts)
    slots = SlotPool(METHODS, backbone.bases, backbone.device, backbone.dtype)
    router = FastRouter(slots)
    slots.acquire(make.lora("stays", Site.QUERY))
    for name in ("first", "second"):
        slots.acquire(make.lora(name, Site.QUERY))
        router.order(Stack((Leaf("stays"), Leaf(name))))
        slots.release(name)
        assert slots.drop(name)
    assert not router._known
    assert not any(router._with.values())


def test_states_are_quantised_once_for_queries_keys_and_values(monkeypatch):
    """In int8, whichever of them have adapters."""
    folder, _ = saved("bert")
    backbone = load_backbone(Folder(folder, "bert"), torch.device("cpu"), torch.float32, True)
    slots = SlotPool(METHODS, backbone.bases, backbone.device, backbone.dtype)
    slots.acquire(Maker(backbone.facts).lora("lora", Site.QUERY, Site.VALUE))
    calls = []
    monkeypatch.setattr(
        quantized, "quantise", lambda x, steps: calls.append(x) or quantise(x, steps)
    )
    runner, counts = BatchRunner(backbone, slots, 1), []
    for composition in (None, Leaf("lora")):
        calls.clear()
        assert not runner.run([Job(random_row(5, 0), composition)], Collect()).errors
        counts.append(len(calls))
    runner.close()
    assert counts == [4 * backbone.facts.num_layers] * 2
