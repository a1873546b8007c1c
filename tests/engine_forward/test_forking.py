"""Equal rows over different adapters run as one up to the layer where the adapters begin."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
import torch
from transformers import AutoConfig, AutoModel

from adapter_runtime.backbone.backbone import Backbone
from adapter_runtime.backbone.load import load_backbone
from adapter_runtime.engine import forking
from adapter_runtime.engine.forking import NOWHERE, stages_of
from adapter_runtime.engine.forward import BatchReport, BatchRunner
from adapter_runtime.engine.pack import Job, SharedRow
from adapter_runtime.methods.prefix import PrefixSettings
from adapter_runtime.methods.reft import ReftSettings
from adapter_runtime.methods.table import METHODS
from adapter_runtime.residency.slots import SlotPool
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Adapter, Leaf, Part, PlugPoint, Site, Stack
from tests.backbone.tiny import CONFIGS, DISTILBERT, SIZES, random_row
from tests.engine_forward.adapters import Maker, union
from tests.engine_forward.collect import Collect, largest_gap

NUM_LAYERS = 6
DEEP = {
    "bert": SIZES | {"num_hidden_layers": NUM_LAYERS},
    "roberta": CONFIGS["roberta"] | {"num_hidden_layers": NUM_LAYERS},
    "electra": CONFIGS["electra"] | {"num_hidden_layers": NUM_LAYERS},
    "distilbert": DISTILBERT | {"n_layers": NUM_LAYERS},
    "xlm-roberta-xl": SIZES
    | {"num_hidden_layers": NUM_LAYERS, "pad_token_id": 1, "type_vocab_size": 1},
    "gpt2": {"vocab_size": 99, "n_embd": 32, "n_layer": 6, "n_head": 4, "n_positions": 64}
    | {"bos_token_id": 1, "eos_token_id": 2},
}
FORKING = tuple(name for name in DEEP if name != "gpt2")
NORMS = (Site.ATTENTION_NORM, Site.FFN_NORM)
FP32, HALF = 1e-5, 0.06


@cache
def deep(model_type: str) -> Path:
    """A folder with a random model of several layers."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, **DEEP[model_type])
    folder = Path(mkdtemp(prefix=f"deep-{model_type}-"))
    AutoModel.from_config(config).eval().save_pretrained(folder)
    return folder


def dropped(adapter: Adapter, layer: int) -> Adapter:
    """Without what it does below a layer, as AdapterDrop leaves it."""
    name = f"{adapter.name}-{layer}"
    parts = tuple(part for part in adapter.parts if part.point.layer >= layer)
    return Adapter(name, name, parts)


def states(make: Maker, method: str, site: Site) -> Adapter:
    """An adapter of every layer that edits states, or puts keys and values before them."""
    width, parts = make.facts.hidden_size, []
    for layer in range(NUM_LAYERS):
        if method == "prefix":
            tensors = {name: make.tensor(4, 3, width // 4) for name in ("keys", "values")}
            parts.append(Part(method, PlugPoint(layer, site), PrefixSettings(), tensors))
        else:
            shapes = {"source_weight": (4, width), "source_bias": (4,), "projection": (4, width)}
            tensors = {
                f"{name}_{unit}": make.tensor(*shape)
                for name, shape in shapes.items()
                for unit in (0, 1)
            }
            parts.append(Part(method, PlugPoint(layer, site), ReftSettings(2, 1), tensors))
    return Adapter(method, method, tuple(parts))


def make_adapters(backbone: Backbone) -> list[Adapter]:
    """Every method from the first layer on, from the middle, at the last; and for the pooler."""
    make = Maker(backbone.facts)
    whole = [
        make.lora("lora", Site.QUERY, Site.VALUE),
        make.lora("gated", Site.QUERY, Site.FFN_OUT, gated=True),
        make.bias("norms", *NORMS),
        make.output_scale("ia3", Site.KEY, Site.VALUE),
        make.input_scale("scaled", Site.FFN_OUT),
        states(make, "reft", Site.LAYER),
        states(make, "prefix", Site.KEYS_VALUES),
    ]
    if backbone.facts.adapter_paths:
        bottleneck = make.bottleneck("pfeiffer", Site.FFN, original_ln_before=True)
        parallel = make.bottleneck("parallel", Site.ATTENTION, Site.FFN, is_parallel=True)
        whole += [bottleneck, parallel, union("union", bottleneck, whole[0])]
    late = [dropped(adapter, layer) for adapter in whole for layer in (2, 5)]
    found = [*whole, *late, make.bias("pooler", Site.POOLER)]
    return [adapter for adapter in found if adapter.parts]


class Bench:
    """A backbone with all adapters resident."""

    def __init__(self, model_type: str, dtype: str = "float32", device: str = "cpu") -> None:
        kind = torch.bfloat16 if dtype == "bfloat16" else torch.float32
        folder = Folder(deep(model_type), model_type)
        self.backbone = load_backbone(folder, torch.device(device), kind, in_int8=dtype == "int8")
        backbone = self.backbone
        self.slots = SlotPool(METHODS, backbone.bases, backbone.device, backbone.dtype)
        self.adapters = make_adapters(backbone)
        for adapter in self.adapters:
            self.slots.acquire(adapter)

    def run(self, jobs: Sequence[Job], num_streams: int = 1) -> tuple[Collect, BatchReport]:
        """What each job got, and what the batch did."""
        runner = BatchRunner(self.backbone, self.slots, num_streams)
        found = Collect(pooled=self.backbone.facts.has_pooler)
        report = runner.run(jobs, found)
        runner.close()
        assert not report.errors, report.errors
        return found, report

    def jobs(self) -> list[Job]:
        """Two texts for every adapter, for stacks of late ones and for none; others between."""
        names = [adapter.digest for adapter in self.adapters]
        late = [Leaf(name) for name in names if name.endswith(("-2", "-5"))]
        trees = [None, *map(Leaf, names), Stack(tuple(late[:3])), Stack((late[1], late[3]))]
        same = [Job(random_row(length, length), tree) for length in (9, 5) for tree in trees]
        others = [Job(random_row(4 + number, number), tree) for number, tree in enumerate(trees)]
        return [job for pair in zip(same, others * 2, strict=False) for job in pair]


@pytest.fixture(autouse=True)
def _forks_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be the saving ever so small."""
    monkeypatch.setattr(forking, "_LEAST_WORK", 0)


def check_alone(bench: Bench, jobs: Sequence[Job], num_streams: int, tolerance: float) -> None:
    """Every row has the states and the pooled vector that it has alone."""
    mixed, _ = bench.run(jobs, num_streams)
    for number, job in enumerate(jobs):
        alone, _ = bench.run([job])
        assert largest_gap(mixed.states[number], alone.states[0]) <= tolerance
        for vector in alone.vectors.values():
            assert largest_gap(mixed.vectors[number], vector) <= tolerance


@pytest.mark.parametrize("num_streams", (1, 2))
@pytest.mark.parametrize("model_type", FORKING)
def test_each_row_of_a_forked_batch_equals_the_row_alone(model_type: str, num_streams: int) -> None:
    """Whatever it shares its lower layers with, and whoever else is in the batch."""
    bench = Bench(model_type)
    check_alone(bench, bench.jobs(), num_streams, FP32)


@pytest.mark.parametrize("dtype", ("bfloat16", "int8"))
def test_forked_rows_equal_rows_alone_in_every_dtype(dtype: str) -> None:
    """Within the dtype's own step."""
    bench = Bench("bert", dtype)
    check_alone(bench, bench.jobs(), 1, HALF)


def test_only_what_differs_is_computed_apart() -> None:
    """One row of twelve tokens per layer until adapters begin; heads alone cost nothing."""
    bench, row = Bench("bert"), random_row(12, 1)

    def computed(*names: str | None) -> int:
        jobs = [Job(row, None if name is None else Leaf(name)) for name in names]
        _, report = bench.run(jobs)
        return report.num_tokens

    assert computed(None) == computed(None, None, None) == 12
    assert computed(None, "pooler") == 12 + 2  # a layer is the least that is computed apart
    assert computed(None, "lora-2") == computed("lora-2", "pfeiffer-2") == 12 + 8
    assert computed("lora-5", "lora-2", None) == 12 + 8 + 2
    assert computed("lora", "pfeiffer", None) == 36
    assert computed("lora", "lora-2", "lora-2", "norms-5") == 12 + 8 + 12


def test_architectures_whose_layers_take_more_run_as_always() -> None:
    """What a layer reads beside the states would still be of the stream before."""
    bench, row = Bench("gpt2"), random_row(12, 1)
    _, report = bench.run([Job(row, None), Job(row, Leaf("pfeiffer-5"))])
    assert report.num_tokens == 24


def test_a_fork_that_saves_too_little_is_left_out() -> None:
    """Its rows join sooner, or run from the start."""
    begins = {"a": 1, "b": 2, "c": 5, "d": NOWHERE}
    stream = [
        SharedRow(random_row(10, 1), Leaf(name), (number,), family=0)
        for number, name in enumerate(begins)
    ]

    def layers(least: int) -> list[range]:
        stages = stages_of(stream, lambda tree: begins[tree.ref], 6, least)
        assert len(stages[-1].rows) == 4
        return [stage.layers for stage in stages]

    assert layers(0) == [range(1), range(1, 2), range(2, 5), range(5, 6)]
    assert layers(11) == [range(1), range(1, 5), range(5, 6)]
    assert layers(25) == [range(5), range(5, 6)]
    assert layers(31) == [range(6)]


def test_the_first_layer_is_that_of_the_lowest_part() -> None:
    """What is outside the layers comes before them all, but for what comes after them all."""
    points = [PlugPoint(3, Site.QUERY), PlugPoint(2, Site.LAYER)]
    after = [PlugPoint(-1, site) for site in (Site.POOLER, Site.VOCABULARY, Site.FINAL_NORM)]
    assert forking.first_layer([*points, *after]) == 2
    assert forking.first_layer(after) == forking.first_layer([]) == NOWHERE
    assert forking.first_layer([*points, PlugPoint(-1, Site.EMBEDDINGS)]) == 0
