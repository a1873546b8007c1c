"""Forwards recorded as CUDA graphs, on a machine that has a CUDA device."""

import threading

import numpy as np
import pytest
import torch

from adapter_runtime.backbone import graphs
from adapter_runtime.backbone.cuda import has_flash
from adapter_runtime.backbone.graphs import SIZES, GraphedForward, graphed
from adapter_runtime.backbone.load import load_backbone
from adapter_runtime.backbone.recording import CudaRecorder
from adapter_runtime.backbone.routing import Layout, Routing
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.residency.uploads import bring
from adapter_runtime.sources.folder import Folder
from adapter_runtime.types import Row
from tests.goldens import replay
from tests.gpu.test_cuda import HALF_TOLERANCE, Engine

pytestmark = pytest.mark.gpu

DTYPE = torch.bfloat16
TOLERANCE = 0.05  # bfloat16: products of other heights may add up in another order
BACKBONES = ("bert", "roberta", "distilbert", "albert", "modernbert", "llama", "gpt2", "nomic")


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """Every size is recorded when it is first asked for."""
    if not has_flash(torch.device("cuda", torch.cuda.current_device())):
        pytest.skip("the device is older than Ampere")
    monkeypatch.setattr(graphs, "_OFTEN", 1)
    with torch.inference_mode():
        yield


def opened(name):
    """A tiny backbone on the device."""
    device = torch.device("cuda", torch.cuda.current_device())
    return load_backbone(Folder(replay.saved_backbone(name), name), device, DTYPE)


def stream(lengths, seed=0):
    """Rows of some lengths, and their bare Routing."""
    generator = torch.Generator().manual_seed(seed)
    tokens = [torch.randint(5, 50, (length,), generator=generator).tolist() for length in lengths]
    starts = [sum(lengths[:place]) for place in range(len(lengths))]
    spans = RowSpans(starts, lengths, sum(lengths))
    return [Row(tuple(row)) for row in tokens], Routing(Layout.PACKED, spans, {})


def lengths_of(backbone):
    """Lengths of the rows of streams of every size: few, one, many short ones, and full."""
    for size in SIZES:
        long = min(backbone.max_tokens, size.tokens)
        yield [min(long, 7)]
        yield [long]
        yield [3] * min(size.rows - 1, size.tokens // 3)
        yield [long] * (size.tokens // long)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_recorded_forward_equals_the_ordinary_one(name):
    """All sizes, each several times, in mixed order; and none failed to be recorded."""
    backbone = opened(name)
    forward = graphed(backbone)
    assert isinstance(forward, GraphedForward)
    streams = [stream(lengths, seed) for seed, lengths in enumerate(lengths_of(backbone))]
    for rows, routing in (*streams, *reversed(streams)):
        found, expected = forward(rows, routing), backbone.forward(rows, routing)
        torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=TOLERANCE)
    assert len(forward._recorded) == len(SIZES)


def test_answers_stay_when_the_next_stream_is_computed():
    """What a replay wrote is taken away before the next one writes."""
    backbone = opened("bert")
    forward = graphed(backbone)
    streams = [stream((9, 20 - seed), seed) for seed in range(20)]
    found = [forward(*each) for each in streams]
    for states, each in zip(found, streams, strict=True):
        expected = backbone.forward(*each)
        torch.testing.assert_close(states, expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_uploads_and_other_forwards_go_on_while_a_forward_is_recorded():
    """Other threads bring weights and compute; their numbers, and the recording's, are right."""
    backbone = opened("bert")
    device, wrong, is_done = backbone.device, [], threading.Event()

    @torch.inference_mode()
    def upload():
        turn = 0
        while not is_done.is_set():
            turn += 1
            (found,) = bring([{"down": torch.full((64, 333), float(turn))}], device)
            if not bool((found["down"] == turn).all()):
                wrong.append(turn)

    @torch.inference_mode()
    def compute():
        rows, routing = stream((40, 9, 3), 7)
        expected = backbone.forward(rows, routing)
        while not is_done.is_set():
            gap = float((backbone.forward(rows, routing) - expected).abs().max())
            if gap > TOLERANCE:
                wrong.append(gap)

    threads = [threading.Thread(target=each) for each in (upload, compute)]
    for thread in threads:
        thread.start()
    try:
        for seed in range(5):
            forward = graphed(backbone)
            for lengths in lengths_of(backbone):
                each = stream(lengths, seed)
                expected = backbone.forward(*each)
                torch.testing.assert_close(forward(*each), expected, atol=TOLERANCE, rtol=TOLERANCE)
            assert len(forward._recorded) == len(SIZES)
    finally:
        is_done.set()
        for thread in threads:
            thread.join()
    assert [] == wrong


def test_a_recording_that_fails_leaves_the_device_as_it_was():
    """What asks the device for a number cannot be recorded; forwards and recordings go on."""
    backbone = opened("bert")
    rows, routing = stream((9, 5))
    expected = backbone.forward(rows, routing)
    caller = torch.cuda.current_stream()

    def function():
        states = backbone.forward(rows, routing)
        return states * float(states.sum())

    with pytest.raises(RuntimeError):
        CudaRecorder(backbone.device)(function)
    assert torch.cuda.current_stream() == caller
    assert torch.equal(backbone.forward(rows, routing), expected)
    found = graphed(backbone)(rows, routing)
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_recorded_streams_beside_adapters_that_come_and_go():
    """Tasks with and without adapters in turn, more adapters than slots, as without recordings."""
    few = {"dtype": "bfloat16", "max_slots": 6}
    plain, recorded = Engine("bert", cuda_graphs=False, **few), Engine("bert", **few)
    cases = [case for case in plain.cases if isinstance(case.entry["task"].get("adapter"), str)]
    bare = [case for case in plain.cases if not case.entry["task"].get("adapter")][:3]
    for each in cases[:24]:
        for chosen in ([each], bare, [each, *bare]):
            expected, found = (
                engine.raw([item for *_, item in engine.items(chosen)])
                for engine in (plain, recorded)
            )
            for one, other in zip(expected, found, strict=True):
                gaps = [np.abs(other[member] - one[member]).max(initial=0.0) for member in one]
                assert max(gaps) < HALF_TOLERANCE, each.name
