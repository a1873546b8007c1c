"""Recorded forwards, over a stand-in for the graph that computes the same function again.

Like a graph it writes its output into the same memory each time. Whether a device records what
the function asks it for, only a device can show (`tests/gpu`).
"""

import logging
import threading

import pytest
import torch
import torch.nn.attention.varlen

from adapter_runtime.backbone import attention, graphs
from adapter_runtime.backbone.graphs import SIZES, GraphedForward, Size, graphed, size_of
from adapter_runtime.backbone.load import load_backbone
from adapter_runtime.backbone.routing import Layout, Routing
from adapter_runtime.backbone.spans import RowSpans
from adapter_runtime.sites import PlugPoint, Site
from adapter_runtime.sources.folder import Folder
from tests.backbone.by_hand import varlen_by_hand
from tests.backbone.tiny import PACKED, open_tiny, random_row
from tests.engine_forward.collect import largest_gap
from tests.goldens.models import MODELS
from tests.goldens.replay import saved_backbone

TOLERANCE = 1e-5  # float32
OTHERS = ("albert", "modernbert", "nomic", "llama", "gpt2")
HOST = ("deberta", "bart", "t5", "esm")


class Again:
    """A recording: the function and where it wrote."""

    def __init__(self, function, output):
        self.function, self.output = function, output

    def replay(self):
        """Compute again from what the inputs hold now."""
        self.output.copy_(self.function())


class Recorder:
    """Records at once, and counts."""

    def __init__(self):
        self.made = []

    def __call__(self, function):
        self.made.append(Again(function, function().clone()))
        return self.made[-1]


@pytest.fixture(autouse=True)
def device(monkeypatch):
    """What a device would have: the kernel; and every size is often asked for."""
    monkeypatch.setattr(attention.attention_cuda, "has_kernel", lambda *_: True)
    monkeypatch.setattr(torch.nn.attention.varlen, "varlen_attn", varlen_by_hand)
    monkeypatch.setattr(graphs, "_OFTEN", 1)
    with torch.inference_mode():
        yield


def stream(lengths, seed=0, has_types=False):
    """Rows of some lengths, and their bare Routing."""
    rows = [random_row(n, seed + place, has_types=has_types) for place, n in enumerate(lengths)]
    starts = [sum(lengths[:place]) for place in range(len(lengths))]
    return rows, Routing(Layout.PACKED, RowSpans(starts, lengths, sum(lengths)), {})


def opened(name):
    """A tiny backbone of either set."""
    if name in MODELS and name not in PACKED:
        folder = Folder(saved_backbone(name), name)
        return load_backbone(folder, torch.device("cpu"), torch.float32)
    return open_tiny(name)


@pytest.mark.parametrize("name", (*PACKED, *OTHERS))
def test_rows_that_fill_a_stream_up_change_no_other(name):
    """A recorded stream equals the ordinary forward, which equals each row alone."""
    backbone, recorder = opened(name), Recorder()
    forward = GraphedForward(backbone, recorder)
    rows, routing = stream((5, 1, 17, 9), has_types=name == "bert")
    found = forward(rows, routing)
    assert largest_gap(found, backbone.forward(rows, routing)) <= TOLERANCE
    alone = backbone.forward(rows[2:3], stream((17,))[1])
    assert largest_gap(found[6:23], alone) <= TOLERANCE
    assert len(recorder.made) == 1


def test_streams_of_one_size_share_a_recording_and_keep_their_answers():
    """What came first is not overwritten by what comes next."""
    backbone, recorder = open_tiny("bert"), Recorder()
    forward = GraphedForward(backbone, recorder)
    streams = [stream(lengths, sum(lengths)) for lengths in ((40,), (3, 60), (20, 20, 20), (33,))]
    found = [forward(*each) for each in streams]
    for states, each in zip(found, streams, strict=True):
        assert largest_gap(states, backbone.forward(*each)) <= TOLERANCE
    assert len(recorder.made) == 1


def test_a_full_stream_needs_no_filling():
    """As many tokens as the size has room for."""
    backbone, recorder = open_tiny("bert"), Recorder()
    rows, routing = stream((30, 2))
    found = GraphedForward(backbone, recorder)(rows, routing)
    assert largest_gap(found, backbone.forward(rows, routing)) <= TOLERANCE
    assert len(recorder.made) == 1


@pytest.mark.parametrize(
    ("tokens", "rows", "size"),
    (
        (1, 1, Size(32, 16)),
        (32, 15, Size(32, 16)),
        (32, 16, Size(256, 32)),
        (33, 1, Size(64, 16)),
        (512, 63, Size(512, 64)),
        (512, 64, None),
        (513, 1, None),
    ),
)
def test_a_stream_takes_the_smallest_size_that_holds_it(tokens, rows, size):
    """One row is left for what fills it up; what is too large has no size."""
    assert size_of(tokens, rows) == size


def test_sizes_grow():
    """The first that holds a stream is the smallest."""
    assert sorted(SIZES, key=lambda size: size.tokens) == list(SIZES)


def test_what_has_work_or_is_large_is_not_recorded():
    """Adapters and long streams take the ordinary way, whose answer it is."""
    backbone, recorder = open_tiny("bert"), Recorder()
    forward = GraphedForward(backbone, recorder)
    rows, routing = stream((7, 5))
    point = PlugPoint(0, Site.FFN_OUT)
    changed = Routing(Layout.PACKED, routing.spans, {point: lambda base, x: base(x) + 1})
    assert torch.equal(forward(rows, changed), backbone.forward(rows, changed))
    long = stream((60,) * 10)
    assert torch.equal(forward(*long), backbone.forward(*long))
    assert [] == recorder.made


def test_a_size_is_recorded_when_it_is_often_asked_for(monkeypatch):
    """The first batches of a size run as they are."""
    monkeypatch.setattr(graphs, "_OFTEN", 3)
    recorder = Recorder()
    forward = GraphedForward(open_tiny("bert"), recorder)
    made = []
    for _ in range(4):
        forward(*stream((7, 5)))
        made.append(len(recorder.made))
    assert [0, 0, 1, 1] == made


@pytest.mark.parametrize("name", HOST)
def test_a_model_that_reads_its_rows_on_the_host_is_not_recorded(name, caplog):
    """Its forward depends on what no recording knows: it is asked once, and runs as it did."""
    backbone, recorder = opened(name), Recorder()
    forward = GraphedForward(backbone, recorder)
    rows, routing = stream((7, 5))
    with caplog.at_level(logging.INFO):
        found = [forward(rows, routing) for _ in range(2)]
    assert all(torch.equal(each, backbone.forward(rows, routing)) for each in found)
    assert [] == recorder.made
    assert ["INFO"] == [record.levelname for record in caplog.records]


class Failing(Recorder):
    """Fails while the second size is recorded, or when the first is computed again."""

    def __init__(self, *, is_late):
        super().__init__()
        self.is_late = is_late
        self.num_tried = 0

    def __call__(self, function):
        self.num_tried += 1
        if self.num_tried > 1:
            raise RuntimeError("out of memory")
        found = super().__call__(function)
        if self.is_late:
            del found.output
        return found


@pytest.mark.parametrize(("is_late", "num_tried"), ((False, 2), (True, 1)))
def test_after_a_recording_that_fails_none_is_tried_or_used(is_late, num_tried, caplog):
    """The batch that it failed for is answered the ordinary way, and so are all others."""
    backbone, recorder = open_tiny("bert"), Failing(is_late=is_late)
    forward = GraphedForward(backbone, recorder)
    for lengths in ((7, 5), (50,), (60, 40), (7, 5)):
        rows, routing = stream(lengths)
        assert largest_gap(forward(rows, routing), backbone.forward(rows, routing)) <= TOLERANCE
    assert recorder.num_tried == num_tried
    assert ["WARNING"] == [record.levelname for record in caplog.records]


def test_threads_do_not_write_over_each_others_rows():
    """One stream at a time is written, replayed and taken away."""
    backbone, recorder, wrong = open_tiny("bert"), Recorder(), []
    forward = GraphedForward(backbone, recorder)
    streams = [stream((5 + seed, 9), seed) for seed in range(8)]
    expected = [backbone.forward(*each) for each in streams]

    @torch.inference_mode()
    def ask(first):
        for number in (first, *range(8)) * 4:
            gap = largest_gap(forward(*streams[number]), expected[number])
            if gap > TOLERANCE:
                wrong.append((number, gap))

    threads = [threading.Thread(target=ask, args=(first,)) for first in (0, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == wrong
    assert len(recorder.made) == 1


def test_only_packed_rows_in_half_precision_on_cuda_are_recorded():
    """Every CPU runs as it did."""
    backbone = open_tiny("bert")
    assert graphed(backbone) == backbone.forward
